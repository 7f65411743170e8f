"""
One unexpected exception, in any part of the agent: another deployment still lands.

The exception comes through the ports: from the runtime, the bus, the journal's store, or from a
value that breaks its reader. It is counted for the part, and told where the owner looks: in the
deployment's state, or among the problems of the device.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from fleet import errors
from fleet.agent.journal.store import MemoryStore
from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.port import Container, Fetched, Image, Result
from fleet.bus.memory import MemoryServer
from fleet.contracts import messages, scores
from fleet.contracts.messages import Phase
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.supervision.failures import STANDING_SECONDS, Failures
from tests import virtual_time
from tests.agent_device import Hub, running_agent
from tests.faults import Bug, Faults, FaultyBus
from tests.unit.agent.world import FakeRuntime

DEVICE = DeviceId("dev-01")
INTERNAL = errors.InternalError.reason


class FaultyRuntime(FakeRuntime):
    """A runtime whose calls raise what nobody foresaw."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults

    async def version(self) -> str:
        self._faults.check("version")
        return await super().version()

    async def observe(self, deployment: DeploymentName | None = None) -> tuple[Container, ...]:
        self._faults.check("observe", deployment or "all")
        return await super().observe(deployment)

    async def fetch(self, image: str, policy: scores.PullPolicy) -> Fetched | None:
        self._faults.check("fetch", image)
        return await super().fetch(image, policy)

    async def images(self) -> tuple[Image, ...]:
        self._faults.check("images")
        return await super().images()

    async def create(self, workload: Workload) -> None:
        self._faults.check("create", workload.name)
        await super().create(workload)

    async def start(self, container: str) -> None:
        self._faults.check("start", container)
        await super().start(container)

    async def probe(self, container: str, within: float) -> Result:
        self._faults.check("probe", container)
        return await super().probe(container, within)

    async def changes(self) -> AsyncGenerator[DeploymentName | None, None]:
        self._faults.check("changes")
        async for change in super().changes():
            yield change


class FaultyStore(MemoryStore):
    """A store whose calls raise what nobody foresaw."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults

    async def put(self, deployment: DeploymentName, content: bytes) -> None:
        self._faults.check("store", deployment)
        await super().put(deployment, content)


class Bench:
    """An agent whose ports have faults, and its hub."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.failures = Failures(now=lambda: asyncio.get_running_loop().time())
        server = MemoryServer()
        self.hub = Hub(server.connect(), DEVICE)
        self._bus = FaultyBus(server.connect(), self.faults)
        self._runtime = FaultyRuntime(self.faults)
        self.store = FaultyStore(self.faults)

    def play(self, scenario: Callable[[], Awaitable[None]]) -> None:
        """Run the agent in virtual time while *scenario* plays."""

        async def playing() -> None:
            async with running_agent(
                DEVICE, self._runtime, self._bus, self.store, failures=self.failures
            ):
                await scenario()

        virtual_time.run(playing())

    async def deploy(self, name: str) -> None:
        """Deploy a service with an image of its own, and a health check."""
        check = {"command": ["true"], "interval": 5}
        service: dict[str, Any] = {"name": "app", "image": f"{name}:1", "healthcheck": check}
        await self.hub.deploy(name, service)

    async def lands(self, name: str) -> None:
        """Wait until a deployment runs."""
        await self.hub.reaches(name, Phase.RUNNING, running="app", within=300.0)

    async def problem(self) -> str:
        """Read the internal errors that the device tells of."""
        info = await self.hub.info()
        found = info.problems if info is not None else ()
        return next((p.message for p in found if p.reason == INTERNAL), "")


@dataclass(frozen=True)
class Case:
    """A fault, and the part that it is counted for. *in_state*: the state itself tells of it."""

    operation: str
    word: str
    part: str
    in_state: bool = False

    def __str__(self) -> str:
        return self.operation


FOR_ONE_DEPLOYMENT = [
    Case("observe", "bad", "deployment", in_state=True),
    Case("fetch", "bad", "image", in_state=True),
    Case("create", "bad", "action", in_state=True),
    Case("start", "bad", "action", in_state=True),
    Case("probe", "bad", "health check"),
    Case("desired-state.value", "bad", "desired state", in_state=True),
    Case("device-state.put", "bad", "state"),
    Case("store", "bad", "journal"),
]


@pytest.mark.parametrize("fault", FOR_ONE_DEPLOYMENT, ids=str)
def test_a_bug_in_the_work_for_one_deployment_costs_no_other(fault: Case):
    bench = Bench()
    bench.faults.add(fault.operation, fault.word)

    async def scenario() -> None:
        await bench.deploy("bad")
        await bench.deploy("web")
        await bench.lands("web")
        await asyncio.sleep(30)
        assert DeploymentName("web") in bench.store.content, "a restart knows of it"
        assert fault.part in await bench.problem()
        if fault.in_state:
            await bench.hub.reaches("bad", Phase.FAILED, reason=INTERNAL)
        assert bench.failures.counts[fault.part] > 1, "it is tried again"

    bench.play(scenario)


@pytest.mark.parametrize(
    "fault", [c for c in FOR_ONE_DEPLOYMENT if not c.operation.endswith(".value")], ids=str
)
def test_what_failed_once_is_made_good_and_told_no_more(fault: Case):
    bench = Bench()
    bench.faults.add(fault.operation, fault.word, often=1)

    async def scenario() -> None:
        await bench.deploy("bad")
        await bench.deploy("web")
        await bench.lands("web")
        await bench.lands("bad")
        await asyncio.sleep(150)
        assert await bench.problem() == ""
        assert bench.failures.counts == {fault.part: 1}

    bench.play(scenario)


def test_a_word_that_a_bug_kept_from_being_told_is_told_though_nothing_changes_any_more():
    bench = Bench()

    async def scenario() -> None:
        await bench.deploy("web")
        await bench.lands("web")
        bench.faults.add("device-state.put", "web", often=1)
        await bench.hub.deploy("web", {"name": "app", "image": "no image"})
        await bench.hub.reaches("web", Phase.FAILED, within=60.0)
        assert bench.failures.counts == {"state": 1}

    bench.play(scenario)


def test_what_failed_and_is_tried_no_more_is_told_for_a_quarter_of_an_hour_at_most():
    bench = Bench()

    async def scenario() -> None:
        await bench.deploy("web")
        await bench.lands("web")
        bench.failures.failed("health check", DeploymentName("gone"), Bug("of one that is gone"))
        await asyncio.sleep(STANDING_SECONDS - 60)
        assert "gone" in await bench.problem()
        await asyncio.sleep(180)
        assert await bench.problem() == ""
        assert not bench.failures.standing()

    bench.play(scenario)


WHOLE_PARTS = [
    Case("version", "", "runtime"),
    Case("observe", "all", "dispatcher"),
    Case("changes", "", "dispatcher"),
    Case("desired-state.watch", "", "desired state"),
    Case("device-info.put", "", "device info"),
    Case("device-heartbeat.put", "", "heartbeat"),
    Case("wait_for_change", "", "overview"),
    Case("images", "", "images"),
]


@pytest.mark.parametrize("fault", WHOLE_PARTS, ids=str)
def test_a_part_that_fails_is_run_again_and_all_else_goes_on(fault: Case):
    bench = Bench()
    bench.faults.add(fault.operation, fault.word, often=2)

    async def scenario() -> None:
        await bench.deploy("web")
        await bench.lands("web")
        await asyncio.sleep(100)
        assert bench.failures.counts[fault.part]
        await asyncio.sleep(200)
        assert await bench.problem() == ""

    bench.play(scenario)


@pytest.mark.parametrize("fault", WHOLE_PARTS, ids=str)
def test_a_part_that_always_fails_keeps_nothing_from_running_that_runs(fault: Case):
    bench = Bench()

    async def scenario() -> None:
        await bench.deploy("web")
        await bench.lands("web")
        bench.faults.add(fault.operation, fault.word)
        await asyncio.sleep(600)
        state = await bench.hub.state("web")
        assert state is not None
        assert state.phase is Phase.RUNNING

    bench.play(scenario)


def test_the_fault_of_these_tests_is_one_that_nobody_foresaw():
    assert not issubclass(Bug, errors.FleetError)
    assert INTERNAL in messages.HARMLESS_PROBLEMS
