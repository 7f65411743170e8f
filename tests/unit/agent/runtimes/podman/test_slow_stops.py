"""`slow_stops`: what waits for a stop that takes its time, and what doesn't."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from fleet.agent.runtimes.podman.planning import Action, Create, Remove, Restart, Start
from fleet.agent.runtimes.podman.slow_stops import SlowStops
from fleet.contracts.container_fields import DeviceNode
from fleet.contracts.scores import Port
from tests import virtual_time
from tests.unit.agent.world import container, name, workload

HTTP = (Port(host=80, container=80),)
NODE, SHARED = DeviceNode(path="/dev/ttyUSB0"), DeviceNode(path="/dev/dri", shared=True)
FOUND = [
    container("slow", ports=HTTP, devices=(NODE, SHARED)),
    container("held", ports=HTTP),
    container("free"),
]


async def slowly(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return f"after {seconds:g} s"


def remove(service: str) -> Remove:
    return Remove(service, name(service))


def start(service: str) -> Start:
    return Start(service, name(service))


def create(service: str, **more: Any) -> Create:
    return Create(service, workload(service, "d2", **more))


async def stopping(*wanted: str) -> SlowStops[str]:
    """Stop `slow`, which goes on for long."""
    stops: SlowStops[str] = SlowStops(lambda: None)
    stops.look(FOUND, wanted)
    assert await stops.run({remove("slow"): slowly(100)}) == ()
    return stops


@pytest.mark.parametrize(
    ("action", "waits"),
    [
        (remove("slow"), True),
        (create("slow"), True),
        (start("slow"), True),
        (remove("free"), False),
        (Restart("free", name("free")), False),
        (start("free"), False),
        (create("free"), False),
        (start("held"), True),
        (create("free", ports=HTTP), True),
        (create("free", devices=(NODE,)), True),
        (create("free", devices=(SHARED,)), False),
        (create("free", devices=(replace(SHARED, shared=False),)), True),
        (create("new"), False),
    ],
)
def test_what_has_to_do_with_a_stop_waits_for_it(action: Action, waits: bool):
    async def stage() -> None:
        stops = await stopping("slow", "held", "free", "new")
        assert stops.permitted([action]) == (() if waits else (action,))
        await stops.close()

    virtual_time.run(stage())


def test_what_is_new_may_be_what_is_being_stopped_under_another_name():
    async def stage() -> None:
        stops = await stopping("held", "free", "new")
        assert stops.permitted([create("new"), create("free")]) == (create("free"),)
        await stops.close()
        assert stops.permitted([create("new")]) == (create("new"),)

    virtual_time.run(stage())


def test_what_follows_upon_something_that_waits_waits_too():
    async def stage() -> None:
        stops = await stopping("held", "free", "new")
        going_on = (remove("free"), create("free"), start("free"))
        plan: list[Action] = [
            remove("free"),
            create("free"),
            create("new"),
            start("free"),
            start("new"),
        ]
        assert stops.permitted(plan) == going_on
        handed: list[Action] = [remove("free"), create("free", ports=HTTP), start("free")]
        assert stops.permitted(handed) == (remove("free"),)
        await stops.close()

    virtual_time.run(stage())


def test_a_stop_that_ends_soon_is_waited_for_and_one_that_does_not_says_when_it_has():
    async def stage() -> None:
        pokes: list[float] = []
        clock = asyncio.get_running_loop().time
        stops: SlowStops[str] = SlowStops(lambda: pokes.append(clock()))
        begun = clock()
        quick, slow = remove("free"), remove("slow")
        assert await stops.run({quick: slowly(0.5), slow: slowly(8)}) == ("after 0.5 s",)
        assert (stops.left_alone(), stops.left_alone()) == ((slow,), ())
        assert not stops.ended()
        assert stops.services() == {"slow"}
        await asyncio.sleep(10)
        assert [round(at - begun) for at in pokes] == [8]
        assert stops.ended() == ("after 8 s",)
        assert not stops.ended()
        assert not stops.services()

    virtual_time.run(stage())


def test_who_is_no_longer_waited_for_is_told_so():
    async def stage() -> None:
        stops: SlowStops[str] = SlowStops(lambda: None)
        waiting = asyncio.create_task(stops.run({remove("slow"): slowly(100)}))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert stops.services() == frozenset()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual_time.run(stage())
