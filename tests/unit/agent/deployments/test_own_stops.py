"""What we stop ourselves has not done its work, whatever it ends with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from fleet import errors
from fleet.agent.deployments.own_stops import OwnStops
from fleet.agent.deployments.tracking import Tracker
from fleet.agent.journal.store import MemoryStore
from fleet.agent.model import intents
from fleet.agent.model.runs import Memory
from fleet.agent.runtimes.podman import reporting
from fleet.agent.runtimes.podman.executor import Outcome
from fleet.agent.runtimes.podman.planning import Remove, Restart, Start
from fleet.agent.runtimes.port import Container, Result, Status
from fleet.bus.memory import MemoryServer
from fleet.contracts.messages import Phase
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.contracts.permissions import device_permissions
from fleet.contracts.scores import RestartPolicy
from fleet.supervision.failures import Failures
from tests import virtual_time
from tests.agent_device import Hub, running_agent
from tests.unit.agent.deployments.test_loop import app, holds
from tests.unit.agent.world import FakeRuntime, container, name, workload

DEVICE = DeviceId("dev-01")
NEVER, ON_FAILURE = RestartPolicy.NEVER, RestartPolicy.ON_FAILURE
REMOVE, RESTART = Remove("a", name("a")), Restart("a", name("a"))
START = Start("a", name("a"), again=True)


class SlowToStop(FakeRuntime):
    """Podman goes on with a removal, whoever waits: it stops, ends with 0, and is deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.stopping = asyncio.Event()
        self._removals: list[asyncio.Task[None]] = []

    async def remove(self, container: str) -> None:
        if self._removals:
            await super().remove(container)
            return
        self._removals.append(asyncio.create_task(self._stop_and_remove(container)))
        await asyncio.shield(self._removals[0])

    async def _stop_and_remove(self, container: str) -> None:
        there = self.world.containers
        there[container] = replace(there[container], status=Status.STOPPING)
        self.stopping.set()
        await asyncio.sleep(8)
        self.kill(container, exit_code=0)
        await asyncio.sleep(0.3)
        there.pop(container, None)
        self.say(container)


@pytest.mark.parametrize("is_withdrawn", [False, True], ids=["rolled back", "applied again"])
def test_a_worker_whose_removal_was_overtaken_runs_again(is_withdrawn: bool):
    async def stage() -> None:
        server, runtime = MemoryServer(), SlowToStop()
        hub, worker = Hub(server.connect(), DEVICE), app("a", restartPolicy="OnFailure")
        bus = server.connect(device_permissions(DEVICE))
        async with bus, running_agent(DEVICE, runtime, bus, MemoryStore()):
            await hub.deploy("web", worker)
            await hub.reaches("web", Phase.RUNNING)
            if is_withdrawn:
                await hub.withdraw("web")
            else:
                await hub.deploy("web", {**worker, "image": "app:2"})
            await runtime.stopping.wait()
            await asyncio.sleep(2)
            await hub.deploy("web", worker)
            await asyncio.sleep(120)
            assert runtime.running() == {name("a")}

    virtual_time.run(stage())


class Killed(FakeRuntime):
    """Podman ends a service with 0 because it was told to, and whoever told it is gone by then."""

    def __init__(self) -> None:
        super().__init__()
        self.stopping = asyncio.Event()

    async def remove(self, container: str) -> None:
        await self._stop(container)

    async def restart(self, container: str) -> None:
        await self._stop(container)

    async def _stop(self, container: str) -> None:
        there = self.world.containers
        there[container] = replace(there[container], status=Status.STOPPING)
        self.stopping.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("by", ["an update", "its health"])
def test_an_agent_that_is_started_amid_a_stop_of_the_one_before_runs_the_worker_again(by: str):
    check = {"command": ["check"], "interval": 1, "retries": 1}
    worker = app("a", restartPolicy="OnFailure", healthcheck=check)

    async def stage() -> None:
        server, runtime = MemoryServer(), Killed()
        store, records = MemoryStore(), MemoryStore()
        hub = Hub(server.connect(), DEVICE)

        @asynccontextmanager
        async def agent() -> AsyncIterator[None]:
            bus = server.connect(device_permissions(DEVICE))
            async with bus, running_agent(DEVICE, runtime, bus, store, records=records):
                yield

        async with agent():
            await hub.deploy("web", worker)
            await hub.reaches("web", Phase.RUNNING)
            if by == "its health":
                runtime.health[name("a")] = Result(passed=False)
            else:
                await hub.deploy("web", {**worker, "image": "app:2"})
            await runtime.stopping.wait()
        runtime.world.end(name("a"), 0, after=100)
        runtime.health.clear()
        await hub.deploy("web", worker)
        async with agent():
            await holds(lambda: runtime.running() == {name("a")}, "the worker runs again")
            runtime.kill(name("a"), exit_code=0)
            await asyncio.sleep(60)
            assert not runtime.running(), "it ended by itself this time"
        assert not (await records.load()).content[DeploymentName("web")].count(b"stops")

    virtual_time.run(stage())


async def test_a_stop_that_was_recalled_and_never_begun_is_forgotten():
    saved: list[dict[str, int]] = []
    memory = Memory(stops={"found-a": 100}, save_stops=lambda s: saved.append(dict(s)))
    async with tracked(ON_FAILURE, memory) as deployment:
        assert saved == [{}]
        deployment.look(Status.EXITED, finished=120)
        plan, phase = deployment.look(Status.EXITED, finished=120)
        assert (plan, phase) == ((), Phase.RUNNING)


class Deployment:
    """A tracker of one service `a`, without the loop."""

    def __init__(self, tracker: Tracker, policy: RestartPolicy) -> None:
        self.tracker = tracker
        self._policy = policy
        self._intent = intents.Apply("r1", (workload("a", restart_policy=policy),))
        self._now = 100.0

    def look(self, status: Status, *, started: int = 100, **more: Any) -> tuple[object, Phase]:
        """Look once, some time later: what is planned, and what is told."""
        self._now += 100.0
        found: tuple[Container, ...] = (
            container("a", status=status, restart_policy=self._policy, started=started, **more),
        )
        self.tracker.look(self._intent, found, self._now)
        plan = self.tracker.plan(self._intent, found, self._now)
        told = reporting.report(self._intent, self.tracker.view(found, self._now))
        return plan, told.phase

    def note(self, action: Remove | Restart, error: errors.FleetError | None = None) -> None:
        """Have it told that *action* was begun."""
        self.tracker.note([Outcome(action, error)], self._now)


@asynccontextmanager
async def tracked(
    policy: RestartPolicy,
    memory: Memory = Memory(),  # noqa: B008 - frozen
) -> AsyncIterator[Deployment]:
    """Track a deployment whose service runs."""
    runtime = FakeRuntime()
    tracker = Tracker(runtime, runtime.fetch, lambda: None, lambda: 0.5, Failures(), memory=memory)
    deployment = Deployment(tracker, policy)
    assert deployment.look(Status.RUNNING) == ((), Phase.RUNNING)
    yield deployment
    await tracker.close()


@pytest.mark.parametrize("exit_code", [0, 143])
async def test_a_worker_that_we_stopped_and_did_not_remove_is_started_again(exit_code: int):
    async with tracked(ON_FAILURE) as deployment:
        deployment.note(REMOVE)
        deployment.look(Status.EXITED, finished=120, exit_code=exit_code)
        plan, phase = deployment.look(Status.EXITED, finished=120, exit_code=exit_code)
        assert (plan, phase) == ((START,), Phase.PENDING)


async def test_between_stop_and_start_of_a_restart_nothing_has_ended():
    async with tracked(ON_FAILURE) as deployment:
        deployment.note(RESTART)
        deployment.look(Status.EXITED, finished=120)
        deployment.look(Status.RUNNING, started=121)
        deployment.look(Status.EXITED, started=121, finished=180, exit_code=1)
        plan, _ = deployment.look(Status.EXITED, started=121, finished=180, exit_code=1)
        assert plan == (START,)


async def test_what_was_started_anew_ends_by_itself():
    async with tracked(ON_FAILURE) as deployment:
        deployment.note(RESTART)
        deployment.look(Status.RUNNING, started=121)
        ended = deployment.look(Status.EXITED, started=121, finished=180)
        assert ended == ((), Phase.RUNNING)


async def test_what_had_ended_before_we_would_remove_it_stays_down():
    async with tracked(ON_FAILURE) as deployment:
        deployment.look(Status.EXITED, finished=120)
        deployment.note(REMOVE)
        assert deployment.look(Status.EXITED, finished=120) == ((), Phase.RUNNING)


async def test_a_removal_that_stopped_nothing_changes_nothing():
    async with tracked(ON_FAILURE) as deployment:
        deployment.note(REMOVE, errors.ContainerInUse("another one needs it"))
        plan, _ = deployment.look(Status.EXITED, finished=120)
        assert plan == ()


async def test_what_never_runs_twice_and_was_stopped_by_us_was_interrupted():
    async with tracked(NEVER) as deployment:
        deployment.note(REMOVE)
        assert deployment.look(Status.EXITED, finished=120) == ((), Phase.FAILED)


async def test_a_stop_that_podman_has_yet_to_tell_of_is_remembered():
    async with tracked(ON_FAILURE) as deployment:
        deployment.note(REMOVE)
        deployment.look(Status.RUNNING)
        deployment.look(Status.EXITED, finished=120)
        plan, phase = deployment.look(Status.EXITED, finished=120)
        assert (plan, phase) == ((START,), Phase.PENDING)


@pytest.mark.parametrize("more", [{"exit_code": 0}, {"exit_code": 137, "out_of_memory": True}])
def test_a_run_that_we_cut_short_looks_interrupted_and_others_as_they_are(more: dict[str, Any]):
    stops = OwnStops(Memory())
    running = container("a", started=100), container("b", started=100)
    stops.look(running)
    stops.note(Outcome(REMOVE), running)
    found = tuple(replace(c, status=Status.EXITED, finished=120, **more) for c in running)
    stops.look(found)

    ours, other = stops.interrupted(found)

    assert ours.was_interrupted
    assert not ours.out_of_memory
    assert other == found[1]
    assert stops.services(found) == {"a"}


@pytest.mark.parametrize("action", [REMOVE, RESTART])
def test_only_a_stop_whose_end_would_decide_is_saved_before_it_begins(action: Remove | Restart):
    saved: list[dict[str, int]] = []
    stops = OwnStops(Memory(save_stops=lambda s: saved.append(dict(s))))
    worker = container("a", started=100, restart_policy=ON_FAILURE)
    other = container("b", started=100, restart_policy=ON_FAILURE)

    stops.begin([START], [worker, other])
    stops.begin([action], [replace(worker, restart_policy=RestartPolicy.ALWAYS), other])
    stops.begin([action], [replace(worker, status=Status.EXITED), other])
    assert saved == []

    stops.begin([action], [worker, other])
    stops.begin([action], [worker, other])
    assert saved == [{worker.id: 100}]
