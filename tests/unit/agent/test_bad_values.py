"""Whatever stands at one key of `desired-state`, the device's other deployments land."""

import copy
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet import errors
from fleet.agent.model import intents
from fleet.contracts import kv
from fleet.contracts.messages import DESIRED_STATE, Phase, ReconcileScore
from tests import virtual_time
from tests.agent_device import podman_score
from tests.unit.agent.deployments.test_loop import app, holds
from tests.unit.agent.test_restarting import DEVICE, Device
from tests.unit.agent.world import WEB
from tests.unit.contracts.strategies import json_values

GOOD = json.loads(DESIRED_STATE.encode(podman_score(app("b"))))


def of(service: dict[str, Any]) -> bytes:
    return json.dumps(GOOD | {"data": {"services": [service]}}).encode()


SEEN = {
    "brackets": b"[" * 3000,
    "brackets in an unknown field": b'{"type":"X","data":{},"revision":"1","x":' + b"[" * 3000,
    "brackets in the data": b'{"type":"PodmanV0","data":{"x":' + b'{"x":' * 3000,
    "a number without end": b'{"type":"X","data":{"x":' + b"9" * 5000 + b'},"revision":"1"}',
    "half a surrogate": b'{"type":"PodmanV0","data":{"x":"\\ud800"},"revision":"1"}',
    "a mount path to puzzle over": of(
        app("b", volumes=[{"name": "d", "mountPath": "/aa" * 170 + "/."}])
    ),
    "a newline at the end of a name": of(app("b\n")),
    "no bytes": b"",
}
PATHS = (
    ("type",), ("data",), ("data", "services"), ("data", "services", 0), ("revision",), ("owner",),
    *(("data", "services", 0, field) for field in (
        "name", "image", "args", "env", "ports", "volumes", "healthcheck", "labels", "user", "x",
        "devices", "tmpfs", "files", "extraHosts", "dns", "sysctls", "hostname", "shmSize", "logs",
    )),
)  # fmt: skip
numbers = st.sampled_from([0, -1, 2**63, 10**30, 1.5, 1e300])
values = json_values | numbers | st.sampled_from(["\n", "\x00", "x" * 5000, "a" * 64])


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A good envelope with something else at one or two places."""
    value: dict[str, Any] = copy.deepcopy(GOOD)
    for path in draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=2)):
        _set(value, path, draw(values))
    return json.dumps(value).encode()


def _set(value: Any, path: tuple[str | int, ...], new: Any) -> None:
    for step in path[:-1]:
        if not isinstance(value, dict | list) or not value:
            return
        value = value.get(step) if isinstance(value, dict) else value[0]
    if isinstance(value, dict):
        value[path[-1]] = new


junk = st.one_of(
    spoiled(), spoiled(), st.binary(max_size=60), json_values.map(lambda v: json.dumps(v).encode())
)


def play(scenario: Callable[[Device], Awaitable[None]]) -> None:
    async def stage() -> None:
        await scenario(Device())

    virtual_time.run(stage())


def check(written: list[bytes]) -> None:
    """Have *written* at one key, and another deployment land: then, and after a restart."""

    async def scenario(device: Device) -> None:
        device.server.write_raw(DESIRED_STATE.bucket, f"{DEVICE}.not a key", b"x")
        async with device.agent():
            for data in written:
                device.server.write_raw(DESIRED_STATE.bucket, f"{DEVICE}.bad", data)
                await device.hub.deploy("web", app("a"))
            await device.hub.reaches("web", Phase.RUNNING)
            await holds(lambda: f"fleet.{WEB}.a" in device.runtime.running(), "it runs")
        async with device.agent():
            await device.hub.deploy("web", app("a", args=["again"]))
            await device.hub.reaches("web", Phase.RUNNING)
            await device.hub.deploy("later", app("c"))
            await device.hub.reaches("later", Phase.RUNNING)

    play(scenario)


@pytest.mark.parametrize("data", SEEN.values(), ids=SEEN)
def test_a_value_that_is_none_is_refused_and_another_deployment_lands(data: bytes):
    check([data])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(junk, min_size=1, max_size=6))
def test_whatever_is_wanted_at_one_key_another_deployment_lands(written: list[bytes]):
    check(written)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(junk, min_size=1, max_size=6))
def test_whatever_is_wanted_at_one_key_another_deployment_lands_again_and_again(
    written: list[bytes],
):
    check(written)


@settings(max_examples=300, deadline=None)
@given(spoiled())
def test_a_score_is_done_or_refused_in_words(data: bytes):
    try:
        desired: ReconcileScore = DESIRED_STATE.decode(kv.desired_state_key(DEVICE, WEB), data)
    except errors.UndecodableValue:
        return
    intent = intents.read(WEB, desired, None)
    assert isinstance(intent, intents.Apply | intents.Refuse)
