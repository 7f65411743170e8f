"""What we stop ourselves has not done its work, whatever it ends with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from fleet import errors
from fleet.agent.deployments.tracking import Tracker
from fleet.agent.journal.store import MemoryStore
from fleet.agent.model import intents
from fleet.agent.model.runs import Memory
from fleet.agent.runtimes.podman import reporting
from fleet.agent.runtimes.podman.executor import Outcome
from fleet.agent.runtimes.podman.planning import Remove, Restart, Start
from fleet.agent.runtimes.port import Container, Status
from fleet.bus.memory import MemoryServer
from fleet.contracts.messages import Phase
from fleet.contracts.names import DeviceId
from fleet.contracts.permissions import device_permissions
from fleet.contracts.scores import RestartPolicy
from fleet.supervision.failures import Failures
from tests import virtual_time
from tests.agent_device import Hub, running_agent
from tests.unit.agent.deployments.test_loop import app
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
async def tracked(policy: RestartPolicy) -> AsyncIterator[Deployment]:
    """Track a deployment whose service runs."""
    runtime = FakeRuntime()
    tracker = Tracker(
        runtime, runtime.fetch, lambda: None, lambda: 0.5, Failures(), memory=Memory()
    )
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
