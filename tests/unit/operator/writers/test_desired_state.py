"""`desired_state`: one key at a time, by compare-and-set."""

from collections.abc import Collection

import pytest

from fleet import errors
from fleet.bus.memory import MemoryServer
from fleet.bus.port import Deleted, Put
from fleet.contracts import kv, messages
from fleet.contracts.names import DeviceId
from fleet.operator.model.custom_resources import Deployment
from fleet.operator.model.matching.index import Pair
from fleet.operator.model.store import Store
from fleet.operator.ports import Found
from fleet.operator.watches.definitions import Definitions
from fleet.operator.writers.desired_state import DesiredStateWriter
from fleet.operator.writers.withdrawals import Withdrawals
from tests.unit.operator import making
from tests.unit.operator.fakes import FakeClock, FakeCluster, FakeCounter
from tests.unit.operator.making import at, deployment, device, pair

KEY = kv.desired_state_key(*pair())


class Scene:
    """A writer whose view nobody feeds but itself."""

    def __init__(self) -> None:
        self.store = Store()
        self.bus = MemoryServer().connect()
        self.bucket = self.bus.bucket(messages.DESIRED_STATE)
        self.counter = FakeCounter()
        self.cluster = FakeCluster()
        self.again: set[Pair] = set()
        self.withdrawals = Withdrawals(self.look_again, self.again.update, self.counter)
        self.publisher = DesiredStateWriter(
            self.store,
            self.bucket,
            FakeClock(),
            self.counter,
            withdrawals=self.withdrawals,
            definitions_stand=Definitions(self.cluster).stand,
        )
        self.labels: dict[str, str] | None = None  # of the device as it is, if not as was told
        self.hidden = ""  # what can't be found: the "device" or its "deployment"
        self.store.put_device(device())

    async def look_again(
        self, devices: Collection[DeviceId], deployments: Collection[Deployment]
    ) -> Found:
        """Read the device as it is now."""
        if self.labels is not None:
            self.store.put_device(device(labels=self.labels))
        return Found(
            frozenset(() if self.hidden == "device" else devices),
            frozenset(each.uid for each in deployments if self.hidden != "deployment"),
        )

    async def work_through(self) -> None:
        """Work on the key, and once more where it was read again."""
        await self.publisher.work(pair())
        await self.withdrawals.answer()
        if self.again:
            self.again.clear()
            await self.publisher.work(pair())


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_what_is_wanted_is_put_once(scene: Scene):
    scene.store.put_deployment(deployment())
    await scene.publisher.work(pair())
    await scene.publisher.work(pair())
    entry = await scene.bucket.get(KEY)
    assert isinstance(entry, Put)
    assert entry.value == making.score()
    assert scene.counter.counts == {"putvalue": 1}


async def test_a_lost_comparison_is_read_again_before_the_next_attempt(scene: Scene):
    scene.store.put_deployment(deployment())
    await scene.bucket.put(KEY, making.score("web:0", uid="somebody"))
    with pytest.raises(errors.RevisionConflict):
        await scene.publisher.work(pair())
    await scene.publisher.work(pair())
    entry = await scene.bucket.get(KEY)
    assert isinstance(entry, Put)
    assert entry.value == making.score()


async def test_what_was_stored_while_its_answer_was_lost_is_not_put_again(scene: Scene):
    scene.store.put_deployment(deployment())
    scene.bus.lose_answers()
    with pytest.raises(errors.BusUnavailable):
        await scene.publisher.work(pair())
    with pytest.raises(errors.RevisionConflict):
        await scene.publisher.work(pair())
    await scene.publisher.work(pair())
    entry = await scene.bucket.get(KEY)
    assert isinstance(entry, Put)
    assert (entry.value, entry.revision) == (making.score(), 1)
    assert scene.counter.counts == {}


async def test_a_marker_that_was_stored_while_its_answer_was_lost_is_not_written_again(
    scene: Scene,
):
    scene.store.put_deployment(deployment())
    scene.store.put_state(pair(), making.report())
    await scene.publisher.work(pair())
    scene.store.put_deployment(deployment(deleted=1, version=2))
    scene.bus.lose_answers()
    with pytest.raises(errors.BusUnavailable):
        await scene.publisher.work(pair())
    with pytest.raises(errors.RevisionConflict):
        await scene.publisher.work(pair())
    await scene.publisher.work(pair())
    entry = await scene.bucket.get(KEY)
    assert isinstance(entry, Deleted)
    assert entry.revision == 2


async def test_a_value_of_a_later_generation_wins_over_an_operator_that_lags(scene: Scene):
    scene.store.put_deployment(deployment(generation=1))
    later = making.score("web:9", generation=2)
    await scene.bucket.put(KEY, later)
    with pytest.raises(errors.RevisionConflict):
        await scene.publisher.work(pair())
    await scene.publisher.work(pair())
    entry = await scene.bucket.get(KEY)
    assert isinstance(entry, Put)
    assert entry.value == later


async def test_a_marker_goes_once_the_state_is_gone(scene: Scene):
    scene.store.put_deployment(deployment())
    scene.store.put_state(pair(), making.report())
    await scene.publisher.work(pair())
    scene.store.put_deployment(deployment(labels={"site": "other"}))
    await scene.work_through()
    assert isinstance(await scene.bucket.get(KEY), Deleted)
    await scene.publisher.work(pair())
    assert isinstance(await scene.bucket.get(KEY), Deleted)
    scene.store.drop_state(pair())
    await scene.publisher.work(pair())
    assert await scene.bucket.get(KEY) is None


async def test_nothing_is_withdrawn_for_labels_that_have_long_been_put_back(scene: Scene):
    scene.store.put_deployment(deployment())
    await scene.publisher.work(pair())
    scene.store.put_device(device(labels={"site": "elsewhere"}))
    scene.labels = {"site": "a"}
    await scene.work_through()
    assert isinstance(await scene.bucket.get(KEY), Put)

    scene.labels = {"site": "elsewhere"}
    scene.store.put_device(device(labels=scene.labels))
    await scene.work_through()
    assert isinstance(await scene.bucket.get(KEY), Deleted)


@pytest.mark.parametrize("hidden", ["device", "deployment"])
async def test_nothing_is_withdrawn_for_what_is_not_found_when_it_is_read_again(
    scene: Scene, hidden: str
):
    """It is gone, of which the watch will tell; or it can't be read, for a bug."""
    scene.store.put_deployment(deployment())
    await scene.publisher.work(pair())
    scene.store.put_device(device(labels={"site": "elsewhere"}))
    scene.hidden = hidden
    for _ in range(3):
        await scene.work_through()
    await scene.publisher.work(pair())
    assert isinstance(await scene.bucket.get(KEY), Put)


async def test_a_value_that_replaced_the_marker_is_not_purged(scene: Scene):
    revision = await scene.bucket.put(KEY, making.score(uid="somebody"))
    scene.store.put_desired(pair(), making.marker(revision - 1))  # an echo from the past
    await scene.publisher.work(pair())
    assert isinstance(await scene.bucket.get(KEY), Put)


async def test_an_orphan_is_counted_until_somebody_owns_it(scene: Scene):
    revision = await scene.bucket.put(KEY, making.score(uid="gone"))
    scene.store.put_desired(pair(), making.put(making.score(uid="gone"), revision))
    await scene.publisher.work(pair())
    assert scene.counter.orphaned == 1
    scene.store.put_deployment(deployment())
    await scene.publisher.work(pair())
    assert scene.counter.orphaned == 0


async def test_a_removable_value_that_changed_meanwhile_stays(scene: Scene):
    revision = await scene.bucket.put(KEY, making.score(uid="gone"))
    scene.store.put_desired(pair(), making.put(making.score(uid="gone"), revision))
    scene.store.allow_removal(pair(), revision)
    later = making.score(uid="somebody")
    await scene.bucket.put(KEY, later)
    with pytest.raises(errors.RevisionConflict):
        await scene.publisher.work(pair())
    await scene.publisher.work(pair())
    entry = await scene.bucket.get(KEY)
    assert isinstance(entry, Put)
    assert entry.value == later
    assert [each.revision for each in await scene.publisher.orphans()] == [entry.revision]


async def test_a_removable_value_that_is_wanted_again_is_adopted(scene: Scene):
    revision = await scene.bucket.put(KEY, making.score(uid="gone"))
    scene.store.put_desired(pair(), making.put(making.score(uid="gone"), revision))
    scene.store.allow_removal(pair(), revision)
    scene.store.put_deployment(deployment())
    await scene.publisher.work(pair())
    entry = await scene.bucket.get(KEY)
    assert isinstance(entry, Put)
    assert entry.value == making.score()


@pytest.mark.parametrize("plural", ["deployments", "devices"])
@pytest.mark.parametrize("goes", [False, True], ids=["stands", "goes"])
async def test_what_is_deleted_along_with_its_definition_is_not_withdrawn(
    scene: Scene, plural: str, goes: bool
):
    scene.store.put_deployment(deployment())
    await scene.publisher.work(pair())
    if plural == "deployments":
        scene.store.put_deployment(deployment(deleted=1, version=2))
    else:
        scene.store.put_device(device(deleting_since=at(1)))
    if goes:
        scene.cluster.undefined = {plural}
    await scene.publisher.work(pair())
    assert isinstance(await scene.bucket.get(KEY), Put if goes else Deleted)


async def test_what_a_person_ended_is_withdrawn_though_another_definition_goes(scene: Scene):
    scene.store.put_deployment(deployment())
    await scene.publisher.work(pair())
    scene.store.put_device(device(deleting_since=at(1)))
    scene.store.put_deployment(deployment(deleted=1, version=2))
    scene.cluster.undefined = {"deployments"}
    await scene.publisher.work(pair())
    assert isinstance(await scene.bucket.get(KEY), Deleted)


async def test_nothing_is_withdrawn_while_nobody_says_whether_a_definition_stands(scene: Scene):
    scene.store.put_deployment(deployment())
    await scene.publisher.work(pair())
    scene.store.put_deployment(deployment(deleted=1, version=2))
    scene.cluster.broken = errors.ClusterRefused("403: no right to read definitions")
    with pytest.raises(errors.ClusterRefused):
        await scene.publisher.work(pair())
    assert isinstance(await scene.bucket.get(KEY), Put)


async def test_what_another_one_wants_by_the_time_a_definition_was_read_is_not_withdrawn(
    scene: Scene,
):
    scene.store.put_deployment(deployment())
    await scene.publisher.work(pair())
    scene.store.put_deployment(deployment(deleted=1, version=2))

    def replace() -> None:
        scene.store.drop_deployment("u1")
        scene.store.put_deployment(deployment(uid="u2"))

    scene.cluster.interrupts, scene.cluster.meanwhile = "definition", replace
    await scene.publisher.work(pair())
    entry = await scene.bucket.get(KEY)
    assert isinstance(entry, Put)
    assert entry.value == making.score(uid="u2")
    assert scene.counter.counts == {"putvalue": 2}
