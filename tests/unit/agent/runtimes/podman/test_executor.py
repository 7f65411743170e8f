"""`executor`: what is still done after a failure, and after newer intent."""

from collections.abc import Coroutine

from fleet import errors
from fleet.agent.runtimes.podman import executor, planning
from fleet.agent.runtimes.podman.slow_stops import SlowStops
from fleet.agent.runtimes.port import Status
from tests import virtual_time
from tests.unit.agent.world import FakeRuntime, World, container, name, workload


async def done(awaited: Coroutine[None, None, None]) -> bool:
    """Wait for something to its end."""
    await awaited
    return True


def a_change(runtime: FakeRuntime, *, overtaken_after: int = 10**6) -> tuple[executor.Outcome, ...]:
    """Replace the containers of `a` and `b`, and drop `c`."""
    wanted = [workload("a", "d2"), workload("b", "d2")]
    actions = planning.plan(wanted, runtime.world.containers.values())
    return virtual_time.run(
        executor.execute(
            actions,
            runtime,
            is_overtaken=lambda: len(runtime.calls) >= overtaken_after,
            unless_newer=done,
            stops=SlowStops(lambda: None),
        )
    )


def device() -> FakeRuntime:
    """A device that runs the old version."""
    return FakeRuntime(World.of([container(n) for n in "abc"]))


def test_all_is_done_where_nothing_fails():
    runtime = device()
    outcomes = a_change(runtime)
    assert all(outcome.error is None for outcome in outcomes)
    assert runtime.running() == {name("a"), name("b")}


def test_a_service_that_failed_gets_no_further_action_and_the_others_go_on():
    runtime = device()
    stuck = errors.ContainerFailed("it won't go")
    runtime.failures[f"remove {name('a')}"] = stuck
    outcomes = a_change(runtime)
    assert [o.error for o in outcomes if o.error] == [stuck]
    assert [call for call in runtime.calls if call.endswith(".a")] == [f"remove {name('a')}"]
    assert runtime.running() == {name("a"), name("b")}
    assert runtime.world.containers[name("b")].status is Status.RUNNING


def test_newer_intent_stops_between_two_kinds_of_action():
    runtime = device()
    a_change(runtime, overtaken_after=3)
    assert runtime.calls == [f"remove {name(n)}" for n in "abc"]
