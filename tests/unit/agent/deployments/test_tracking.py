"""What is kept between looks at the containers of one deployment."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from fleet import errors
from fleet.agent.deployments.restart_backoff import SETTLED_SECONDS
from fleet.agent.deployments.tracking import Tracker
from fleet.agent.model import intents
from fleet.agent.model.runs import Memory
from fleet.agent.runtimes.podman.executor import Outcome
from fleet.agent.runtimes.podman.planning import Create, Remove, Restart, Start
from fleet.agent.runtimes.port import Container, Status
from fleet.contracts.scores import Healthcheck
from fleet.supervision.failures import Failures
from tests import virtual_time
from tests.unit.agent.world import FakeRuntime, World, container, name, workload

NOW = 100.0
CHECKED = workload("a", "d1", healthcheck=Healthcheck(command=("/check",)))
PLAIN = workload("a", "d1")
REMOVE, RESTART = Remove("a", name("a")), Restart("a", name("a"))
START = Start("a", name("a"), again=True)
BUSY, TAKEN = errors.ContainerFailed("busy"), errors.PortInUse("taken")


@asynccontextmanager
async def tracked(
    runtime: FakeRuntime, poke: Callable[[], None] = lambda: None
) -> AsyncIterator[Tracker]:
    """Make a tracker, whose delays are the middle of their jitter."""
    tracker = Tracker(runtime, runtime.fetch, poke, lambda: 0.5, Failures(), memory=Memory())
    yield tracker
    await tracker.close()


def died(health: str) -> Container:
    """A container that ran for long enough, and ended before anybody looked."""
    finished = 1000 + int(SETTLED_SECONDS)
    return container(
        "a", "d1", Status.EXITED, exit_code=1, started=1000, finished=finished, health=health
    )


@pytest.mark.parametrize(
    ("health", "streak"), [("healthy", 0), ("starting", 1), ("unhealthy", 1), ("", 1)]
)
async def test_a_run_that_nobody_watched_has_proven_what_the_runtime_says(health: str, streak: int):
    found = (died(health),)
    async with tracked(FakeRuntime()) as tracker:
        tracker.look(intents.Apply("r1", (CHECKED,)), found, NOW)
        assert tracker.view(found, NOW).history["a"].streak == streak


@pytest.mark.parametrize("made_of", ["d1", "d2"])
def test_only_what_runs_as_wanted_and_has_a_check_is_checked(made_of: str):
    async def stage() -> None:
        found = (container("a", made_of), container("b"))
        runtime = FakeRuntime(World.of(found))
        async with tracked(runtime) as tracker:
            tracker.look(intents.Apply("r1", (CHECKED, workload("b"))), found, NOW)
            await asyncio.sleep(1)  # virtual
        assert [probed for probed, _ in runtime.probes] == [name("a")] * (made_of == "d1")

    virtual_time.run(stage())


def test_a_check_that_fails_by_a_bug_of_ours_is_made_again():
    async def stage() -> None:
        found = (container("a", "d1"),)
        runtime = FakeRuntime(World.of(found))
        runtime.failures[f"probe {name('a')}"] = KeyError("a bug")
        async with tracked(runtime) as tracker:
            tracker.look(intents.Apply("r1", (CHECKED,)), found, NOW)
            await asyncio.sleep(30)  # virtual
            runtime.failures.clear()
            await asyncio.sleep(60)  # virtual
            assert tracker.view(found, NOW).health["a"].health == "healthy"

    virtual_time.run(stage())


@pytest.mark.parametrize(
    ("outcome", "waits_for", "error"),
    [
        pytest.param(Outcome(START), None, None, id="started"),
        pytest.param(Outcome(START, TAKEN), 1.0, TAKEN, id="not started"),
        pytest.param(Outcome(REMOVE, BUSY), 1.0, BUSY, id="not removed"),
        pytest.param(Outcome(START, errors.RuntimeUnavailable("")), None, None, id="no runtime"),
        pytest.param(Outcome(REMOVE), None, None, id="removed"),
    ],
)
async def test_what_failed_is_told_and_waits_and_the_runtime_s_absence_is_nobody_s_failure(
    outcome: Outcome, waits_for: float | None, error: errors.FleetError | None
):
    pokes: list[None] = []
    async with tracked(FakeRuntime(), lambda: pokes.append(None)) as tracker:
        tracker.look(intents.Apply("r1", (PLAIN,)), (container("a", "d1"),), NOW)
        tracker.note([outcome], NOW)
        assert tracker.next_look(NOW) == (NOW + waits_for if waits_for else None)
        assert tracker.last_errors() == ({"a": error} if error else {})
        assert len(pokes) == (error is BUSY), "what stays may have to be started again"


async def test_a_service_restarted_for_its_health_waits_and_says_so_until_it_is_well():
    found = (container("a", "d1"),)
    async with tracked(FakeRuntime()) as tracker:
        tracker.look(intents.Apply("r1", (PLAIN,)), found, NOW)
        tracker.note([Outcome(RESTART)], NOW)
        history = tracker.view(found, NOW).history["a"]
        assert (history.restarts, history.streak, history.is_settled) == (1, 1, False)
        assert isinstance(history.error, errors.Unhealthy)
        assert str(history.error) == "its health check fails"
        assert (history.error.element, history.wait) == ("a", 1.0)
        assert tracker.next_look(NOW) == NOW + 1.0


async def test_what_goes_since_its_node_is_another_one_waits_and_has_not_failed():
    found = (container("a", "d1", has_other_node=True),)
    async with tracked(FakeRuntime()) as tracker:
        tracker.look(intents.Apply("r1", (PLAIN,)), found, NOW)
        tracker.note([Outcome(REMOVE)], NOW)
        assert tracker.next_look(NOW) == NOW + 1.0
        assert tracker.last_errors() == {}


async def test_what_would_not_start_twice_in_a_row_is_made_anew():
    found, later = (container("a", "d1", Status.CREATED),), NOW + 100
    again = Start("a", name("a"))
    intent, staged = intents.Apply("r1", (PLAIN,)), asyncio.Event()
    async with tracked(FakeRuntime(World.of(found)), staged.set) as tracker:
        tracker.look(intent, found, NOW)
        tracker.note([Outcome(START, BUSY)], NOW)
        tracker.look(intent, found, later)
        assert tracker.plan(intent, found, later) == (again,)
        tracker.note([Outcome(START, BUSY)], NOW)
        tracker.look(intent, found, later)
        assert tracker.plan(intent, found, later) == (again,), "its image may be gone"
        await staged.wait()
        assert tracker.plan(intent, found, later) == (REMOVE, Create("a", PLAIN), again)
