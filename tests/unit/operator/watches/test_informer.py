"""The informer: what is listed is the view, but for what was told while the list was on its way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from fleet import errors
from fleet.bus.memory import MemoryServer
from fleet.contracts.names import DeviceId
from fleet.operator.clock import ServerClock
from fleet.operator.model import custom_resources
from fleet.operator.model.custom_resources import Deployment, Device
from fleet.operator.model.duplicate_agents import DuplicateAgents
from fleet.operator.model.presence import SILENCE, Presence
from fleet.operator.model.store import Store
from fleet.operator.ports import Found
from fleet.operator.watches.informer import FEW, Informer
from fleet.operator.watches.liveness import Liveness
from fleet.operator.watches.sync_barrier import Part, SyncBarrier
from fleet.supervision.failures import Failures
from tests import virtual_time
from tests.unit.operator.fakes import FakeCluster
from tests.unit.operator.making import at, deployment, deployment_body


class Scene:
    """An informer, what it looks at and what it keeps."""

    def __init__(self) -> None:
        self.store = Store()
        self.barrier = SyncBarrier()
        self.cluster = FakeCluster()
        self.presence = Presence()
        self.changes = 0
        self.failures = Failures()
        liveness = Liveness(
            self.store,
            self.presence,
            MemoryServer().connect(),
            duplicate_agents=DuplicateAgents(2 * SILENCE),
            clock=ServerClock(),
            changed=self.changed,
        )
        self.informer = Informer(
            self.store,
            self.barrier,
            self.cluster,
            liveness,
            self.changed,
            failures=self.failures,
        )

    def changed(self) -> None:
        """Count."""
        self.changes += 1

    def add_device(self, name: str, *, version: int = 1, **labels: str) -> dict[str, Any]:
        """Have a `Device` made."""
        metadata = {
            "name": name,
            "uid": f"uid-{name}",
            "labels": labels,
            "resourceVersion": str(version),
        }
        body = {"metadata": metadata}
        self.cluster.devices[name] = body
        return body


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_what_is_listed_is_the_view(scene: Scene):
    scene.cluster.add(deployment_body())
    scene.add_device("d1")
    await scene.informer.list_all()
    assert set(scene.store.deployments) == {"u1"}
    assert set(scene.store.devices) == {"d1"}
    assert not {Part.DEPLOYMENTS, Part.DEVICES} & set(scene.barrier.missing)
    assert scene.changes


async def test_what_a_list_no_longer_holds_is_gone(scene: Scene):
    scene.cluster.add(deployment_body())
    scene.add_device("d1")
    await scene.informer.list_all()
    scene.cluster.deployments.clear()
    scene.cluster.devices.clear()
    await scene.informer.list_all()
    assert not scene.store.deployments
    assert not scene.store.devices


async def test_what_was_told_while_a_list_was_on_its_way_is_newer(scene: Scene):
    scene.cluster.add(deployment_body(image="web:1"))
    old, new = deployment_body(image="web:1"), deployment_body(image="web:2", version=2)
    made = deployment_body("other", uid="u2")

    def meanwhile() -> None:
        scene.informer.deployment_event("MODIFIED", new)
        scene.informer.deployment_event("ADDED", made)

    scene.informer.deployment_event(None, old)
    scene.cluster.meanwhile = meanwhile
    await scene.informer.list_all()
    assert set(scene.store.deployments) == {"u1", "u2"}
    found = scene.store.deployments["u1"].score
    assert found is not None
    assert found.data["services"][0]["image"] == "web:2"


async def test_a_deployment_deleted_while_a_list_was_on_its_way_stays_gone(scene: Scene):
    body = scene.cluster.add(deployment_body())
    scene.cluster.meanwhile = lambda: scene.informer.deployment_event("DELETED", body)
    await scene.informer.list_all()
    assert not scene.store.deployments


async def test_an_older_version_is_no_news(scene: Scene):
    scene.informer.device_event("MODIFIED", scene.add_device("d1", version=9, site="b"))
    scene.informer.device_event("MODIFIED", scene.add_device("d1", version=8, site="a"))
    assert scene.store.devices[DeviceId("d1")].labels == {"site": "b"}
    scene.informer.deployment_event(None, deployment_body(image="web:2", version=9))
    scene.informer.deployment_event(None, deployment_body(image="web:1", version=8))
    assert scene.store.deployments["u1"].version == 9


async def test_the_deletion_of_a_predecessor_does_not_touch_the_object_made_again(scene: Scene):
    before = scene.add_device("d1")
    after = scene.add_device("d1", version=2)
    after["metadata"]["uid"] = "again"
    scene.informer.device_event("ADDED", after)
    scene.informer.device_event("DELETED", before)
    assert scene.store.devices[DeviceId("d1")].uid == "again"


def made_at(body: dict[str, Any], second: float, uid: str) -> dict[str, Any]:
    """Make *body* that of an object made at some second, with a uid of its own."""
    created = {"creationTimestamp": at(second).isoformat(), "uid": uid}
    return {**body, "metadata": {**body["metadata"], **created}}


@pytest.mark.parametrize("second", [0, 5], ids=["made in one second", "made later"])
async def test_a_late_event_of_a_predecessor_changes_nothing_of_its_successor(
    scene: Scene, second: float
):
    before = made_at(scene.add_device("d1", version=1, site="old"), 0, "first")
    after = made_at(scene.add_device("d1", version=2, site="new"), second, "second")
    scene.informer.device_event("ADDED", after)
    for kind in ("ADDED", "MODIFIED", None, "DELETED"):
        scene.informer.device_event(kind, before)
        found = scene.store.devices[DeviceId("d1")]
        assert (found.uid, found.labels) == ("second", {"site": "new"})


async def test_a_successor_takes_the_place_of_a_predecessor_whose_end_was_not_told(scene: Scene):
    before = made_at(scene.add_device("d1", version=900, site="old"), 0, "first")
    after = made_at(scene.add_device("d1", version=2, site="new"), 9, "second")  # of a new store
    scene.informer.device_event("ADDED", before)
    scene.informer.device_event("ADDED", after)
    assert scene.store.devices[DeviceId("d1")].uid == "second"


@pytest.mark.parametrize("is_end_told", [True, False], ids=["its end is told", "it isn't"])
async def test_a_list_of_before_does_not_bring_a_predecessor_back(scene: Scene, is_end_told: bool):
    before = made_at(scene.add_device("d1", version=1, site="old"), 0, "first")
    after = made_at(scene.add_device("d1", version=2, site="new"), 1, "second")
    scene.cluster.devices["d1"] = before

    def meanwhile() -> None:
        if is_end_told:
            scene.informer.device_event("DELETED", before)
        scene.informer.device_event("ADDED", after)

    scene.cluster.meanwhile = meanwhile
    scene.cluster.interrupts = "devices"
    await scene.informer.list_all()
    assert scene.store.devices[DeviceId("d1")].uid == "second"


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", None])
async def test_a_late_event_does_not_bring_back_what_is_gone(scene: Scene, kind: str | None):
    deployment, device = deployment_body(), scene.add_device("d1")
    for told in ("ADDED", "DELETED", kind):
        scene.informer.deployment_event(told, deployment)
        scene.informer.device_event(told, device)
    assert not scene.store.deployments
    assert not scene.store.devices


async def test_a_late_event_does_not_bring_back_what_a_list_no_longer_holds(scene: Scene):
    deployment, device = deployment_body(), scene.add_device("d1")
    scene.informer.deployment_event("ADDED", deployment)
    scene.informer.device_event("ADDED", device)
    scene.cluster.devices.clear()
    await scene.informer.list_all()
    scene.informer.deployment_event("MODIFIED", deployment)
    scene.informer.device_event("MODIFIED", device)
    assert not scene.store.deployments
    assert not scene.store.devices


@pytest.mark.parametrize("read", ["read device", "read deployment"])
async def test_an_object_that_is_deleted_while_it_is_read_again_stays_gone(scene: Scene, read: str):
    deployment, device = scene.cluster.add(deployment_body()), scene.add_device("d1")
    await scene.informer.list_all()
    known = scene.store.deployments["u1"]

    def meanwhile() -> None:
        scene.informer.deployment_event("DELETED", deployment)
        scene.informer.device_event("DELETED", device)

    scene.cluster.meanwhile = meanwhile
    scene.cluster.interrupts = read
    await scene.informer.look_again([DeviceId("d1")], [known])
    assert not scene.store.deployments
    assert not scene.store.devices


async def test_a_backup_brings_objects_back_with_their_uids(scene: Scene):
    deployment, device = scene.cluster.add(deployment_body()), scene.add_device("d1")
    scene.informer.deployment_event("DELETED", deployment)
    scene.informer.device_event("DELETED", device)
    await scene.informer.list_all()
    scene.informer.deployment_event("MODIFIED", deployment)
    assert set(scene.store.deployments) == {"u1"}
    assert set(scene.store.devices) == {"d1"}


async def test_a_list_is_believed_even_if_its_versions_are_lower(scene: Scene):
    scene.informer.device_event(None, scene.add_device("d1", version=900, site="b"))
    scene.add_device("d1", version=5, site="a")  # a cluster restored from a backup
    await scene.informer.list_all()
    assert scene.store.devices[DeviceId("d1")].labels == {"site": "a"}


async def test_a_name_that_cannot_be_a_key_harms_nobody_else(scene: Scene):
    scene.cluster.add(deployment_body("web.prod", uid="u9"))
    scene.cluster.add(deployment_body())
    await scene.informer.list_all()
    assert set(scene.store.deployments) == {"u1"}


async def test_what_was_said_of_a_device_before_a_restart_is_kept(scene: Scene):
    body = scene.add_device("d1")
    body["status"] = {"conditions": [{"type": "Stale", "status": "True"}]}
    await scene.informer.list_all()
    assert scene.store.silent == {DeviceId("d1")}


@asynccontextmanager
async def listing(scene: Scene) -> AsyncIterator[list[float]]:
    """List on a timer of five minutes while the block runs; tell when that was done."""
    loop = asyncio.get_running_loop()
    listed: list[float] = []

    async def note() -> None:
        listed.append(round(loop.time()))

    task = asyncio.create_task(scene.informer.keep_listing(timedelta(minutes=5), note))
    yield listed
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_cluster_that_lives_on_is_listed_on_the_timer_alone():
    async def scenario() -> None:
        scene = Scene()
        async with listing(scene) as listed:
            await asyncio.sleep(150)
            scene.cluster.broken = errors.ClusterUnavailable("away for a minute")
            await asyncio.sleep(60)
            scene.cluster.broken = None
            await asyncio.sleep(100)

            assert listed == [0, 300]
            assert not scene.informer.renewed.is_set()

    virtual_time.run(scenario())


def test_definitions_that_went_and_came_again_are_watched_again():
    async def scenario() -> None:
        scene = Scene()
        scene.cluster.add(deployment_body())
        async with listing(scene):
            await asyncio.sleep(1)
            assert not scene.informer.renewed.is_set()
            scene.cluster.unlistable = errors.ObjectNotFound("404: no such kind")
            await asyncio.sleep(301)
            assert not scene.informer.renewed.is_set()
            assert scene.store.deployments
            scene.cluster.unlistable = None
            await asyncio.sleep(3)
            assert scene.informer.renewed.is_set()

    virtual_time.run(scenario())


def test_a_cluster_made_anew_is_listed_and_watched_again_as_soon_as_it_knows_our_kinds():
    async def scenario() -> None:
        scene = Scene()
        scene.cluster.add(deployment_body())
        async with listing(scene) as listed:
            await asyncio.sleep(101)
            scene.cluster.name = "second"
            scene.cluster.deployments.clear()
            scene.cluster.unlistable = errors.ClusterRefused("404: no such kind")
            await asyncio.sleep(30)
            assert not scene.informer.renewed.is_set()
            assert scene.store.deployments
            scene.cluster.unlistable = None
            await asyncio.sleep(3)

            assert scene.informer.renewed.is_set()
            assert not scene.store.deployments
            assert len(listed) == 2

    virtual_time.run(scenario())


async def test_a_list_of_many_pages_is_read_to_its_end(scene: Scene):
    for number in range(7):
        scene.add_device(f"d{number}")
        scene.cluster.add(deployment_body(f"web-{number}", uid=f"u{number}"))
    await scene.informer.list_all()
    assert len(scene.store.devices) == len(scene.store.deployments) == 7
    assert scene.cluster.page < 7


async def test_a_list_that_breaks_off_midway_forgets_nobody(scene: Scene):
    for number in range(7):
        scene.add_device(f"d{number}")
    await scene.informer.list_all()

    def break_off() -> None:
        scene.cluster.unlistable = errors.ClusterUnavailable("410: the list expired")

    scene.cluster.between_pages = break_off
    with pytest.raises(errors.ClusterUnavailable):
        await scene.informer.list_all()
    assert len(scene.store.devices) == 7


async def test_few_devices_are_read_again_one_by_one_and_many_by_one_list(scene: Scene):
    names = [DeviceId(f"d{number}") for number in range(FEW + 1)]
    for name in names:
        scene.add_device(name)
    scene.cluster.add(deployment_body())
    await scene.informer.list_all()
    wanted = scene.store.deployments["u1"]
    for name in names:
        scene.add_device(name, version=2, site="b")
    scene.cluster.lists.clear()

    found = await scene.informer.look_again(names[:FEW], [wanted])
    assert scene.cluster.reads == {"device": FEW, "deployment": 1}
    assert not scene.cluster.lists
    assert found == Found(frozenset(names[:FEW]), frozenset({"u1"}))

    scene.cluster.reads.clear()
    found = await scene.informer.look_again(names, [wanted])
    assert scene.cluster.reads == {"deployment": 1}
    assert scene.cluster.lists == {"devices": 1}
    assert found.devices == set(names)
    assert all(each.labels == {"site": "b"} for each in scene.store.devices.values())


@pytest.mark.parametrize("count", [1, FEW + 1])
async def test_what_is_gone_when_it_is_read_again_is_not_found(scene: Scene, count: int):
    names = [DeviceId(f"d{number}") for number in range(count)]
    for name in names[1:]:
        scene.add_device(name)
    found = await scene.informer.look_again(names, [deployment()])
    assert found == Found(frozenset(names[1:]), frozenset())


async def test_a_device_that_is_registered_while_a_list_is_on_its_way_stays_known(scene: Scene):
    await scene.informer.list_all()
    made: list[dict[str, Any]] = []

    def register() -> None:
        made.append(scene.add_device("d1", version=5))
        scene.informer.device_registered(custom_resources.parse_device(made[0]))

    scene.cluster.interrupts, scene.cluster.meanwhile = "devices", register
    await scene.informer.list_all()
    scene.informer.device_event("ADDED", made[0])
    assert DeviceId("d1") in scene.store.devices


@pytest.mark.parametrize("kind", ["deployments", "devices"])
async def test_a_status_that_is_written_while_a_list_is_on_its_way_is_newer(
    scene: Scene, kind: str
):
    """The list tells of the status before: taken for what stands, it would be written again."""
    scene.cluster.add(deployment_body())
    scene.add_device("d1")
    await scene.informer.list_all()

    def write() -> None:
        status = {"ready": "1/1"}
        if kind == "deployments":
            body = {**deployment_body(version=2), "status": status}
            scene.informer.status_written(custom_resources.parse_deployment(body))
        else:
            body = {**scene.add_device("d1", version=2), "status": status}
            scene.informer.device_status_written(custom_resources.parse_device(body))

    scene.cluster.interrupts, scene.cluster.meanwhile = kind, write
    await scene.informer.list_all()
    found: Deployment | Device = (
        scene.store.deployments["u1"]
        if kind == "deployments"
        else scene.store.devices[DeviceId("d1")]
    )
    assert found.status == {"ready": "1/1"}


async def test_what_cannot_be_read_for_a_bug_is_not_found_and_hides_no_other(scene: Scene):
    wanted = [deployment(f"web{n}", uid=f"u{n}") for n in range(FEW + 1)]
    for each in wanted:
        scene.cluster.add(deployment_body(str(each.name), uid=each.uid))
    scene.cluster.deployments["u0"]["spec"] = 7
    found = await scene.informer.look_again((), wanted)
    assert found.deployments == {each.uid for each in wanted} - {"u0"}


async def test_an_event_that_cannot_be_read_for_a_bug_is_recorded_and_leaves_the_view(
    scene: Scene,
):
    deployment, device = deployment_body(), scene.add_device("d1")
    bad = {**device, "metadata": {**device["metadata"], "labels": 7}}
    scene.informer.deployment_event("ADDED", deployment)
    scene.informer.device_event("ADDED", device)
    scene.informer.deployment_event("MODIFIED", {**deployment, "spec": 7})
    scene.informer.device_event("MODIFIED", bad)
    assert [(f.part, f.key) for f in scene.failures.standing()] == [
        ("deployments", "u1"),
        ("devices", DeviceId("d1")),
    ]
    assert set(scene.store.deployments) == {"u1"}
    assert set(scene.store.devices) == {"d1"}
    scene.informer.deployment_event("MODIFIED", deployment)
    scene.informer.device_event("MODIFIED", device)
    assert not scene.failures.standing()


async def test_what_a_list_cannot_read_for_a_bug_stays_in_the_view(scene: Scene):
    scene.cluster.add(deployment_body())
    scene.add_device("d1")
    await scene.informer.list_all()
    scene.cluster.deployments["u1"]["spec"] = 7
    scene.cluster.devices["d1"]["metadata"]["labels"] = 7
    await scene.informer.list_all()
    assert set(scene.store.deployments) == {"u1"}
    assert set(scene.store.devices) == {"d1"}
    assert scene.informer.unread == {"u1", "uid-d1"}
