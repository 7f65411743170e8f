"""`dispatcher`: loops come, go, and come again."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from fleet import errors
from fleet.agent.deployments.dispatcher import Dispatcher
from fleet.agent.deployments.loop import Loop
from fleet.agent.hub.state_publisher import StatePublisher
from fleet.agent.journal.journal import Journal
from fleet.agent.journal.store import MemoryStore
from fleet.agent.model import intents
from fleet.agent.model.problems import Problems
from fleet.agent.system.cancellation import cancel
from fleet.bus.memory import MemoryServer
from fleet.contracts import messages
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.supervision.supervisor import Supervisor
from tests import virtual_time
from tests.unit.agent.world import WEB, FakeRuntime, workload
from tests.unit.supervision.recording import recorder

APPLY = intents.Apply("r1", (workload("a"),))


class ScriptedLoop(Loop):
    """A loop that ends, or breaks, when the test says so."""

    def script(self) -> "ScriptedLoop":
        self.end = asyncio.Event()
        self.fails = False
        return self

    async def run(self) -> None:
        await self.end.wait()
        if self.fails:
            raise ZeroDivisionError


class Scripted:
    """A dispatcher of such loops, and every loop it made."""

    def __init__(self) -> None:
        self.made: list[ScriptedLoop] = []
        states = MemoryServer().connect().bucket(messages.DEVICE_STATE)
        self._publisher = StatePublisher(DeviceId("dev-01"), states, lambda: None, asyncio.Event())  # type: ignore[arg-type,return-value]  # nothing is told here
        problems = Problems(lambda: None)
        self.journal = Journal(DeviceId("dev-01"), MemoryStore(), problems, lambda: 0.5)
        self.failures, self.watcher = recorder()
        self._supervisor = Supervisor(self.failures, random=lambda: 0.5)
        self.runtime = FakeRuntime()
        self.dispatcher = Dispatcher(
            self.runtime, self.journal, self._make, lambda: 0.5, self._supervisor
        )

    def play(self, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Let *scenario* play in virtual time."""

        async def playing() -> None:
            async with self._supervisor:
                await scenario()
                self._supervisor.stop()

        virtual_time.run(playing())

    def _make(self, deployment: DeploymentName, intent: intents.Intent) -> Loop:
        loop = ScriptedLoop(deployment, intent, FakeRuntime(), self._publisher).script()
        self.made.append(loop)
        return loop


def test_intent_that_comes_in_while_a_loop_is_on_its_way_out_gets_a_new_one():
    scripted = Scripted()

    async def scenario() -> None:
        scripted.dispatcher.accept(WEB, intents.Withdraw())
        await asyncio.sleep(1)
        scripted.made[0].end.set()
        scripted.dispatcher.accept(WEB, APPLY)
        await asyncio.sleep(1)
        assert len(scripted.made) == 2
        assert scripted.dispatcher.intent(WEB) == APPLY
        scripted.made[1].intend(intents.Withdraw())
        scripted.made[1].end.set()
        await asyncio.sleep(1)

    scripted.play(scenario)


def test_a_withdrawn_deployment_is_forgotten():
    scripted = Scripted()

    async def scenario() -> None:
        scripted.dispatcher.accept(WEB, intents.Withdraw())
        scripted.made[0].end.set()
        await asyncio.sleep(100)
        assert scripted.dispatcher.intent(WEB) is None
        assert len(scripted.made) == 1

    scripted.play(scenario)


def test_a_loop_that_dies_of_a_bug_is_made_anew_and_takes_no_other_with_it():
    scripted = Scripted()

    async def scenario() -> None:
        other = DeploymentName("other")
        scripted.dispatcher.accept(WEB, APPLY)
        scripted.dispatcher.accept(other, APPLY)
        scripted.made[0].fails = True
        scripted.made[0].end.set()
        await asyncio.sleep(100)
        assert scripted.dispatcher.intent(WEB) == APPLY
        assert [loop.deployment for loop in scripted.made] == [WEB, other, WEB]
        assert [(f.part, f.key) for f in scripted.watcher.failures] == [("deployment loop", WEB)]
        for loop in scripted.made:
            loop.intend(intents.Withdraw())
            loop.end.set()
        await asyncio.sleep(100)

    scripted.play(scenario)


def test_streams_of_events_that_break_off_at_once_wake_the_loops_ever_more_rarely():
    scripted = Scripted()
    stood_for = 0.0
    woken: list[float] = []

    async def changes() -> AsyncGenerator[DeploymentName | None, None]:
        woken.append(asyncio.get_running_loop().time())
        yield None
        await asyncio.sleep(stood_for)
        raise errors.RuntimeUnavailable("podman ended the stream of events")

    async def scenario() -> None:
        nonlocal stood_for
        scripted.runtime.changes = changes  # type: ignore[method-assign]
        following = asyncio.create_task(scripted.dispatcher.run())
        await asyncio.sleep(600)
        assert len(woken) < 60
        woken.clear()
        stood_for = 60.0
        await asyncio.sleep(600)
        assert woken[-1] - woken[-2] < 61  # one that stood is opened again soon
        await cancel([following])

    scripted.play(scenario)
