"""An update amid which a container takes its time to stop: the rest of it, and what is told."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman import executor, planning
from fleet.agent.runtimes.podman.slow_stops import SlowStops
from fleet.agent.runtimes.port import Container
from fleet.bus.memory import MemoryServer
from fleet.contracts.container_fields import DeviceNode
from fleet.contracts.messages import Phase
from fleet.contracts.scores import Port
from tests import virtual_time
from tests.agent_device import Hub
from tests.unit.agent.deployments.test_loop import app, holds, play
from tests.unit.agent.runtimes.podman.test_executor import done
from tests.unit.agent.world import FakeRuntime, World, container, name, workload

SECONDS = 30
NAMES = ["a", "b", "c", "d"]
HTTP = {"host": 80, "container": 80}
NODE = {"path": "/dev/ttyUSB0"}
X = app("x")

names = st.sampled_from(NAMES)


@pytest.mark.parametrize(
    ("first", "second", "slow", "waiting"),
    [
        ([app("old"), X], [app("new"), X], "old", "new"),
        ([app("a", ports=[HTTP]), app("b"), X], [app("a"), app("b", ports=[HTTP]), X], "a", "b"),
        ([app("a", ports=[HTTP]), X], [app("b", ports=[HTTP]), X], "a", "b"),
        (
            [app("a", devices=[NODE]), app("b"), X],
            [app("a"), app("b", devices=[NODE]), X],
            *("a", "b"),
        ),
    ],
    ids=[
        "renamed",
        "a port is handed over",
        "a port goes to what is new",
        "a device is handed over",
    ],
)
def test_what_waits_for_a_stop_is_pending_and_the_others_are_repaired(
    first: list[dict[str, Any]], second: list[dict[str, Any]], slow: str, waiting: str
):
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", *first)
        await hub.reaches("web", Phase.RUNNING)
        runtime.slow[name(slow)] = SECONDS
        revision = await hub.deploy("web", *second)
        removal = f"remove {name(slow)}"
        await holds(lambda: removal in runtime.calls, "it is being stopped")
        for _look in range(2):
            await asyncio.sleep(5)
            runtime.kill(name("x"))
            await holds(lambda: name("x") in runtime.running(), "x is repaired", within=5)
            state = await hub.reaches("web", Phase.PENDING, revision=revision)
            assert (waiting, "missing") in {(s.name, s.state) for s in state.services}
            assert state.error is None
            assert name(slow) in runtime.running()
        await hub.reaches("web", Phase.RUNNING, revision=revision, within=SECONDS)
        about = [call for call in runtime.calls if call.endswith(name(waiting))]
        assert about[-2:] == [f"create {name(waiting)}", f"start {name(waiting)}"]
        assert runtime.calls.count(about[-1]) == 1 + (waiting in {s["name"] for s in first})

    play(scenario)


def resource(number: int, *, is_port: bool) -> dict[str, Any]:
    """What only one service can have at a time."""
    if is_port:
        return {"ports": (Port(host=number, container=80),)}
    return {"devices": (DeviceNode(path=f"/dev/tty{number}"),)}


@st.composite
def updates(draw: st.DrawFn) -> tuple[list[Container], list[Workload]]:
    """What runs, and what is to: services go, come, and take from each other what they have."""
    before, after = (draw(st.lists(names, unique=True)) for _ in range(2))
    had, gets = (
        dict(zip(NAMES, draw(st.permutations(range(80, 84))), strict=True)) for _ in range(2)
    )
    is_port = draw(st.booleans())
    found = [container(n, **resource(had[n], is_port=is_port)) for n in before]
    wanted = [
        workload(n, "d1" if had[n] == gets[n] else "d2", **resource(gets[n], is_port=is_port))
        for n in after
    ]
    return found, wanted


@given(updates(), st.sets(names))
def test_whatever_is_slow_to_stop_no_pass_asks_for_what_can_not_be(
    update: tuple[list[Container], list[Workload]], slow: set[str]
):
    found, wanted = update
    world = World.of(found)
    world.ports = {c.name: frozenset(port.host for port in c.ports) for c in found}
    runtime = FakeRuntime(world)
    runtime.slow = {name(n): SECONDS + index for index, n in enumerate(sorted(slow))}

    async def a_pass(stops: SlowStops[executor.Outcome]) -> None:
        ended = stops.ended()
        there = await runtime.observe()
        stops.look(there, [w.service.name for w in wanted])
        outcomes = await executor.execute(
            planning.plan(wanted, there),
            runtime,
            is_overtaken=lambda: False,
            unless_newer=done,
            stops=stops,
        )
        assert [o for o in (*ended, *outcomes) if o.error] == []

    async def stage() -> None:
        stops = SlowStops[executor.Outcome](lambda: None)
        for _ in range(2):
            await a_pass(stops)
        while stops.services():
            await asyncio.sleep(1)
            await a_pass(stops)
        await a_pass(stops)

    virtual_time.run(stage())
    assert {(c.name, c.digest) for c in world.containers.values()} == {
        (w.name, w.digest) for w in wanted
    }
    assert runtime.running() == {w.name for w in wanted}
