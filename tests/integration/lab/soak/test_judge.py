"""The soak notices what is wrong: a write lost, overwritten or unasked for, and a deaf watch."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fleet.contracts import kv
from fleet.contracts.names import DeploymentName
from lab.errors import WaitTimedOut
from lab.soak import lane, waits
from lab.soak.hub.site import Ports, Shape, Site
from lab.soak.judgement import judge
from lab.soak.judgement.wire import Wire
from lab.soak.traffic import sides
from lab.soak.traffic.sides import Traffic

BUCKET = kv.BUCKET_DEVICE_STATE
WITHIN = 10.0

pytestmark = pytest.mark.timeout(60)


@dataclass(frozen=True, slots=True)
class Quiet:
    """A site whose traffic flowed and has ended, all of it accepted."""

    site: Site
    flow: Traffic

    @property
    def key(self) -> str:
        return kv.device_state_key(self.site.device, DeploymentName("w0-0"))

    async def problems(self, *, within: float = WITHIN) -> tuple[str, ...]:
        return await judge.problems(self.site, self.flow, within=within)

    def ask(self, subject: str, payload: bytes) -> None:
        """Do at the server what nobody ought to."""
        site = self.site
        with Wire(site.urls[0], site.admin.credentials, authority=site.authority) as wire:
            assert "error" not in json.loads(wire.ask(subject, payload).payload)


@pytest.fixture(params=[Shape(), Shape(is_encrypted=True)], ids=["clear", "encrypted"])
def shape(request: pytest.FixtureRequest) -> Shape:
    found: Shape = request.param
    return found


@pytest.fixture
async def quiet(tmp_path: Path, shape: Shape) -> AsyncIterator[Quiet]:
    async with lane.running(tmp_path, 1, shape, Ports()) as site, sides.connected(site) as flow:
        async with flow.flowing(within=WITHIN):
            await flow.gets_through(within=WITHIN)
            await flow.gets_through(within=WITHIN)
        yield Quiet(site, flow)


async def test_nothing_is_wrong_with_what_was_left_alone(quiet: Quiet):
    assert await quiet.problems() == ()
    assert all(side.accepted() for side in quiet.flow.sides)


async def test_a_write_that_is_gone_is_lost(quiet: Quiet):
    quiet.ask(f"$JS.API.STREAM.PURGE.KV_{BUCKET}", filtering(quiet.key))
    problems = await quiet.problems(within=0.5)
    assert problems[0].startswith(f"{BUCKET}: lost: {quiet.key} holds nothing")
    assert "the watch of device-state by operator sees all" in problems[1]


async def test_a_write_that_comes_late_over_a_newer_one_is_noticed(quiet: Quiet):
    quiet.ask(f"$KV.{BUCKET}.{quiet.key}", state(quiet, 0))
    (problem,) = await quiet.problems()
    assert problem.startswith(f"{BUCKET}: overwritten: {quiet.key} holds number 0")


async def test_a_write_that_nobody_asked_for_is_noticed(quiet: Quiet):
    key = kv.device_state_key(quiet.site.device, DeploymentName("other"))
    quiet.ask(f"$KV.{BUCKET}.{key}", state(quiet, 1, "other"))
    (problem,) = await quiet.problems()
    assert problem.startswith(f"{BUCKET}: unasked: {key} holds number 1")


async def test_a_bus_that_leaves_a_connection_open_is_noticed(quiet: Quiet):
    (proxy,) = quiet.site.agent.proxies
    _, further = await asyncio.open_connection("127.0.0.1", proxy.port)
    await waits.until("it is carried", lambda: "" if proxy.open > 1 else "no", within=WITHIN)
    with pytest.raises(WaitTimedOut, match="soak-1 has 2 connections"):
        await quiet.problems(within=0.5)
    further.close()
    await further.wait_closed()
    assert await quiet.problems() == ()


def filtering(key: str) -> bytes:
    return json.dumps({"filter": f"$KV.{BUCKET}.{key}"}).encode()


def state(quiet: Quiet, number: int, deployment: str = "w0-0") -> bytes:
    """Make a state as an agent puts it."""
    told = {"device_id": quiet.site.device, "deployment": deployment, "phase": "Running"}
    return json.dumps({**told, "revision": str(number)}).encode()
