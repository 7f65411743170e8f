"""
One unexpected exception, in any part of the operator: another device's deployment still lands.

The exception comes through the ports: from a call, from a watch, or from a value that breaks its
reader. It is counted for the part, and told where the owner of the device or deployment looks.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from fleet import errors
from fleet.bus.port import Bus
from fleet.contracts.messages import Phase
from fleet.contracts.names import DeviceId
from fleet.operator.decisions.event_correlator import Post
from fleet.operator.model.custom_resources import Deployment
from fleet.operator.ports import Body
from fleet.supervision.failures import STANDING_SECONDS
from lab.bench.simulated_device import SimulatedDevice
from tests.faults import Bug, Faults, FaultyBus
from tests.unit.operator.fakes import FakeCluster
from tests.unit.operator.making import deployment_body
from tests.unit.operator.scene import MemoryScene
from tests.waiting import eventually

FLEET = "fleet-system"


class FaultyCluster(FakeCluster):
    """A cluster whose calls raise what nobody foresaw."""

    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults

    async def life(self) -> str:
        self._faults.check("life")
        return await super().life()

    def list_deployments(self) -> AsyncGenerator[list[Body], None]:
        self._faults.check("list_deployments")
        return super().list_deployments()

    def list_devices(self) -> AsyncGenerator[list[Body], None]:
        self._faults.check("list_devices")
        return super().list_devices()

    async def apply_device(self, device: DeviceId, labels: Mapping[str, str]) -> Body:
        self._faults.check("apply_device", device)
        return await super().apply_device(device, labels)

    async def apply_device_status(self, device: DeviceId, status: Body) -> Body:
        self._faults.check("apply_device_status", device)
        return await super().apply_device_status(device, status)

    async def apply_deployment_status(self, deployment: Deployment, status: Body) -> Body:
        self._faults.check("apply_deployment_status", deployment.uid)
        return await super().apply_deployment_status(deployment, status)

    async def post_event(self, post: Post) -> None:
        self._faults.check("post_event", post.event.about.name)
        await super().post_event(post)


class FaultyScene(MemoryScene):
    """Two devices at one site, and a deployment on both; the operator's ports have faults."""

    def __init__(self) -> None:
        super().__init__()
        self.faults = Faults()
        self.cluster = FaultyCluster(self.faults)
        self.other = SimulatedDevice(self.bus, "d2")

    async def _again(self) -> Bus:  # type: ignore[override] # what it connects through has faults
        return FaultyBus(self.server.connect(), self.faults)

    async def register(self) -> None:
        """Have both devices say what they are, the one that has faults first."""
        await self.device.register({"site": "a"})
        await self.other.register({"site": "a"})

    async def lands(self, device: SimulatedDevice) -> None:
        """Wait until the deployment is wanted of *device*, and its report is in the status."""
        await self.until_wanted_of(device)
        wanted = await device.wanted("web")
        assert wanted is not None
        await device.report("web", Phase.RUNNING, wanted.revision)

    async def until_wanted_of(self, device: SimulatedDevice) -> None:
        """Wait until something is wanted of *device*."""
        seen: list[Any] = []

        async def look() -> bool:
            seen[:] = [await device.wanted("web")]
            return seen[0] is not None

        await eventually(look, f"web is wanted of {device.id}")

    def told_at(self) -> set[str]:
        """List the objects at which people were told of an internal error."""
        posts = self.cluster.events.values()
        return {p.event.about.name for p in posts if p.event.reason == "InternalError"}


@pytest.fixture
async def scene() -> AsyncIterator[FaultyScene]:
    made = FaultyScene()
    yield made
    await made.bus.close()


@dataclass(frozen=True)
class Case:
    """A fault, the part that it is counted for, and at which objects it is told."""

    operation: str
    word: str
    part: str
    told: frozenset[str]

    def __str__(self) -> str:
        return f"{self.operation}-{self.word}"


def case(operation: str, word: str, part: str, *told: str) -> Case:
    """Make a case."""
    return Case(operation, word, part, frozenset(told))


FOR_ONE_DEVICE = [
    case("device-info.value", "d1", "devices", FLEET),
    case("device-state.value", "d1", "device-state", "d1", "web"),
    case("device-heartbeat.value", "d1", "device-heartbeat", "d1"),
    case("desired-state.value", "d1", "desired-state", "d1", "web"),
    case("desired-state.put", "d1", "desired", "d1", "web"),
    case("apply_device", "d1", "devices", FLEET),
    case("apply_device_status", "d1", "descriptions", "d1"),
]


@pytest.mark.parametrize("fault", FOR_ONE_DEVICE, ids=str)
async def test_a_bug_in_the_work_for_one_device_costs_no_other_device(
    scene: FaultyScene, fault: Case
):
    scene.cluster.add(deployment_body())
    scene.faults.add(fault.operation, fault.word)
    async with scene.running():
        await scene.register()
        await scene.device.report("web", Phase.PENDING, "r0")
        await scene.lands(scene.other)
        await scene.until(
            lambda: "1/" in str(scene.cluster.status().get("ready")), "the other counts as running"
        )
        await scene.until(lambda: scene.told_at() & fault.told, "somebody is told")
        await scene.until(lambda: scene.counter.counts[f"contained {fault.part}"], "it is counted")
        assert scene.cluster.devices["d2"]["status"]["conditions"]


# A value that breaks its reader breaks it again; a call may succeed.
MADE_GOOD = [case for case in FOR_ONE_DEVICE if not case.operation.endswith(".value")]


@pytest.mark.parametrize("fault", MADE_GOOD, ids=str)
async def test_what_failed_once_is_made_good(scene: FaultyScene, fault: Case):
    scene.cluster.add(deployment_body())
    scene.faults.add(fault.operation, fault.word, often=1)
    async with scene.running():
        await scene.register()
        for device in (scene.device, scene.other):
            await scene.lands(device)
        await scene.until(lambda: scene.cluster.status().get("ready") == "2/2", "2/2")


WHOLE_PARTS = [
    case("server_time", "", "liveness"),
    case("device-info.watch", "", "device-info"),
    case("device-state.watch", "", "device-state"),
    case("device-heartbeat.watch", "", "device-heartbeat"),
    case("desired-state.watch", "", "desired-state"),
    case("life", "", "list"),
    case("list_deployments", "", "list"),
    case("list_devices", "", "list"),
]


@pytest.mark.parametrize("fault", WHOLE_PARTS, ids=str)
async def test_a_part_that_fails_is_run_again_and_told_at_the_fleets_namespace(
    scene: FaultyScene, fault: Case
):
    scene.cluster.add(deployment_body())
    scene.faults.add(fault.operation, fault.word, often=2)
    async with scene.running():
        await scene.register()
        for device in (scene.device, scene.other):
            await scene.lands(device)
        await scene.until(lambda: scene.cluster.status().get("ready") == "2/2", "2/2")
        await scene.until(lambda: FLEET in scene.told_at(), "somebody is told")
    assert scene.counter.counts[f"contained {fault.part}"] == 2


async def test_events_that_cannot_be_posted_stop_nothing(scene: FaultyScene):
    scene.cluster.add(deployment_body())
    scene.faults.add("post_event")
    async with scene.running():
        await scene.register()
        for device in (scene.device, scene.other):
            await scene.lands(device)
        await scene.until(lambda: scene.cluster.status().get("ready") == "2/2", "2/2")
    assert scene.counter.counts["contained events"]


@pytest.mark.parametrize("spec", [None, 7, {"targetSelector": 1, "score": []}], ids=str)
async def test_a_deployment_that_breaks_its_reader_costs_no_other(scene: FaultyScene, spec: object):
    broken = deployment_body("broken", uid="u0")
    scene.cluster.add({**broken, "spec": spec})
    scene.cluster.add(deployment_body())
    async with scene.running():
        await scene.register()
        await scene.lands(scene.other)
        await scene.until(lambda: "1/" in str(scene.cluster.status().get("ready")), "1/2")


async def test_a_deployment_that_breaks_its_reader_is_told_at_the_fleets_namespace(
    scene: FaultyScene,
):
    scene.cluster.add({**deployment_body("broken", uid="u0"), "spec": 7})
    async with scene.running():
        await scene.until(lambda: FLEET in scene.told_at(), "somebody is told")
    assert scene.counter.counts["contained deployments"]


async def test_a_deployment_whose_status_cannot_be_written_costs_no_other(scene: FaultyScene):
    scene.cluster.add(deployment_body("broken", uid="u0"))
    scene.cluster.add(deployment_body())
    scene.faults.add("apply_deployment_status", "u0")
    async with scene.running():
        await scene.register()
        await scene.lands(scene.other)
        await scene.until(lambda: "1/" in str(scene.cluster.status().get("ready")), "1/2")
        await scene.until(lambda: "broken" in scene.told_at(), "its owner is told")
    assert scene.counter.counts["contained statuses"]


async def test_what_a_bug_hides_is_nobodys_orphan_and_is_not_let_go():
    """Absence is not an instruction: a deployment that can't be read is there all the same."""
    scene = MemoryScene()
    scene.cluster.add(deployment_body())
    scene.cluster.add(deployment_body("other", uid="u9", labels={"site": "nowhere"}))
    await scene.device.register({"site": "a"})
    async with scene.running():
        await scene.until_wanted()
    spec, scene.cluster.deployments["u1"]["spec"] = scene.cluster.deployments["u1"]["spec"], 7
    async with scene.running() as controller:
        await scene.until(lambda: not controller.barrier.missing, "all is listed")
        for _ in range(3):
            await scene.resync(controller, after=601)
            await scene.acts(controller)
        assert await scene.device.wanted("web")
        with pytest.raises(errors.InternalError):
            await controller.released("u1")
        scene.cluster.deployments["u1"]["spec"] = spec
        await scene.resync(controller)
        assert not controller.informer.unread
        assert await scene.device.wanted("web")
    await scene.bus.close()


async def test_what_fleet_itself_foresaw_is_no_internal_error(scene: FaultyScene):
    async with scene.running() as controller:
        controller.failures.failed("kopf", "", errors.ObjectNotFound("a definition is gone"))
        controller.failures.failed("kopf", "", LookupError("nobody thought of this"))
        await scene.until(lambda: scene.told_at() != set(), "people are told")
    posts = [p.event for p in scene.cluster.events.values() if p.event.reason == "InternalError"]
    assert ["LookupError" in event.message for event in posts] == [True]


async def test_what_failed_and_is_tried_no_more_does_not_stand_for_ever(scene: FaultyScene):
    async with scene.running() as controller:
        controller.failures.failed("desired", "a key that is gone", Bug("of one that is gone"))
        scene.now += STANDING_SECONDS + 1
        controller.failures.failed("desired", "a key of now", Bug("of now"))
        await scene.until(
            lambda: [f.key for f in controller.failures.standing()] == ["a key of now"],
            "only what failed just now stands",
        )
