"""The store: whatever happened in whatever order, it equals what is read off the facts anew."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fleet.bus.port import Entry, Put
from fleet.contracts.messages import Phase, ReconcileScore
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.operator.decisions import publishing
from fleet.operator.decisions.publishing import Action
from fleet.operator.model import custom_resources, key_facts
from fleet.operator.model.aggregation import Report
from fleet.operator.model.custom_resources import Deployment, Device
from fleet.operator.model.matching.index import Pair
from fleet.operator.model.store import Store, Touched
from tests.unit.operator import making
from tests.unit.operator.making import at, deployment, device, pair

DEVICES = [DeviceId(f"d{number}") for number in range(2)]
SITES = ["a", "b"]
IMAGES = ["web:1", "web:2"]
UIDS = {"u1": "default", "u2": "other", "u3": "third"}


@dataclass
class Facts:
    """The same facts, kept as plainly as can be."""

    deployments: dict[str, Deployment] = field(default_factory=dict)
    devices: dict[DeviceId, Device] = field(default_factory=dict)
    desired: dict[Pair, Entry[ReconcileScore]] = field(default_factory=dict)
    states: dict[Pair, Report | None] = field(default_factory=dict)
    silent: set[DeviceId] = field(default_factory=set)

    def holder(self) -> Deployment | None:
        """Who holds the one name of this test."""
        places = [
            (entry.value.owner.namespace, entry.value.owner.name)
            for entry in self.desired.values()
            if isinstance(entry, Put) and entry.value.owner
        ]
        return min(
            self.deployments.values(),
            key=lambda d: (-places.count(d.place), d.created, d.uid),
            default=None,
        )

    def wanting(self) -> dict[DeviceId, Deployment]:
        """Which devices are wanted by the holder."""
        holder = self.holder()
        if holder is None or holder.deleting_since or holder.score is None:
            return {}
        return {
            d.id: holder
            for d in self.devices.values()
            if d.deleting_since is None and holder.selector.matches(d.labels)
        }

    def is_leaving(self, name: DeviceId) -> bool:
        """Whether the device is being deleted."""
        return name in self.devices and self.devices[name].deleting_since is not None


class WorldMachine(RuleBasedStateMachine):
    """Changes the store and the facts alike."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.facts = Facts()
        self.said: dict[str, object] = {}
        self.shown: dict[DeviceId, str] = {}
        self.due: dict[DeviceId, Action | None] = {}

    @initialize()
    def begin_with_what_matches(self) -> None:
        """Or most changes would concern nobody, and move nothing."""
        self.put_deployment("u1", SITES[0], IMAGES[0], None)
        for name in DEVICES:
            self.put_device(name, SITES[0], None)

    @rule(
        uid=st.sampled_from(sorted(UIDS)),
        site=st.sampled_from(SITES),
        image=st.sampled_from(IMAGES),
        deleted=st.sampled_from([None, None, None, 9]),
    )
    def put_deployment(self, uid: str, site: str, image: str, deleted: float | None) -> None:
        made = deployment(
            uid=uid, namespace=UIDS[uid], labels={"site": site}, image=image, deleted=deleted
        )
        self.facts.deployments[uid] = made
        self.store.put_deployment(made)

    @rule(uid=st.sampled_from(sorted(UIDS)))
    def drop_deployment(self, uid: str) -> None:
        self.facts.deployments.pop(uid, None)
        self.store.drop_deployment(uid)

    @rule(
        name=st.sampled_from(DEVICES),
        site=st.sampled_from(SITES),
        deleted=st.sampled_from([None, None, at(9)]),
    )
    def put_device(self, name: DeviceId, site: str, deleted: datetime | None) -> None:
        made = device(name, {"site": site}, deleting_since=deleted)
        self.facts.devices[name] = made
        self.store.put_device(made)

    @rule(name=st.sampled_from(DEVICES))
    def drop_device(self, name: DeviceId) -> None:
        if self.facts.devices.pop(name, None) is not None:
            self.facts.silent.discard(name)
        self.store.drop_device(name)

    @rule(name=st.sampled_from(DEVICES), silent=st.booleans())
    def set_silent(self, name: DeviceId, silent: bool) -> None:
        (self.facts.silent.add if silent else self.facts.silent.discard)(name)
        self.store.set_silent(name, silent=silent)

    @rule(
        name=st.sampled_from(DEVICES),
        uid=st.sampled_from([*sorted(UIDS), None]),
        image=st.sampled_from(IMAGES),
    )
    def put_desired(self, name: DeviceId, uid: str | None, image: str) -> None:
        key = pair(name)
        entry: Entry[ReconcileScore] = making.marker()
        if uid is not None:
            entry = making.put(making.score(image, uid=uid, namespace=UIDS[uid]), key=key)
        self.facts.desired[key] = entry
        self.store.put_desired(key, entry)

    @rule(name=st.sampled_from(DEVICES))
    def purge_desired(self, name: DeviceId) -> None:
        self.facts.desired.pop(pair(name), None)
        self.store.put_desired(pair(name), None)

    @rule(
        name=st.sampled_from(DEVICES),
        phase=st.sampled_from([*Phase, None]),
        image=st.sampled_from(IMAGES),
    )
    def put_state(self, name: DeviceId, phase: Phase | None, image: str) -> None:
        key = pair(name)
        told = None if phase is None else making.report(phase, image=image, key=key)
        self.facts.states[key] = told or self.facts.states.get(key)
        self.store.put_state(key, told)

    @rule(name=st.sampled_from(DEVICES))
    def drop_state(self, name: DeviceId) -> None:
        self.facts.states.pop(pair(name), None)
        self.store.drop_state(pair(name))

    @invariant()
    def the_holder_is_the_same(self) -> None:
        assert self.store.holder(DeploymentName("web")) == self.facts.holder()

    @invariant()
    def the_same_is_wanted(self) -> None:
        wanting = self.facts.wanting()
        for name in DEVICES:
            expected = wanting[name].score if name in wanting else None
            assert key_facts.gather(self.store, pair(name)).wanted == expected

    @invariant()
    def the_sums_are_the_same(self) -> None:
        wanting = self.facts.wanting()
        for uid in self.facts.deployments:
            names = [name for name, owner in wanting.items() if owner.uid == uid]
            sums = self.store.aggregate(uid)
            assert sums.matched == len(names)
            assert sums.unknown == len([name for name in names if name in self.facts.silent])
            assert sums.running == len([n for n in names if self._counts_as(n, Phase.RUNNING)])
            assert sums.failed == len([n for n in names if self._counts_as(n, Phase.FAILED)])
            assert sums.matched == sums.pending + sums.running + sums.failed + sums.unknown

    @invariant()
    def the_loads_are_the_same(self) -> None:
        wanting = self.facts.wanting()
        for name in DEVICES:
            matched = int(name in wanting)
            running = int(bool(matched) and self._counts_as(name, Phase.RUNNING))
            assert self.store.loads.shown(name) == f"{running}/{matched}"

    @invariant()
    def the_evidence_is_positive(self) -> None:
        for name in DEVICES:
            found = key_facts.gather(self.store, pair(name))
            leaving = self.facts.is_leaving(name)
            if leaving:
                assert found.ended
                continue
            if found.ended:
                entry = self.facts.desired[pair(name)]
                assert isinstance(entry, Put)
                assert entry.value.owner
                owner = self.facts.deployments[entry.value.owner.uid]
                known = self.facts.devices.get(name)
                assert owner.deleting_since or (
                    known is not None and not owner.selector.matches(known.labels)
                )
            if found.unclaimed:
                self._check_unclaimed(name)

    def _check_unclaimed(self, name: DeviceId) -> None:
        entry = self.facts.desired.get(pair(name))
        if isinstance(entry, Put) and entry.value.owner:
            assert entry.value.owner.uid not in self.facts.deployments
        known = self.facts.devices.get(name)
        if known is None:
            assert entry is not None
            assert not self.facts.deployments
        else:
            for each in self.facts.deployments.values():
                assert each.deleting_since or not each.selector.matches(known.labels)

    @invariant()
    def every_key_is_found(self) -> None:
        wanted = {pair(name) for name in self.facts.wanting()}
        assert set(self.store.all_pairs()) == {*self.facts.desired, *self.facts.states, *wanted}
        keyed = {each.device for each in (*self.facts.desired, *self.facts.states)}
        assert self.store.keyed_devices(DeploymentName("web")) == keyed

    @invariant()
    def what_changed_is_touched(self) -> None:
        """Whoever acts on the store is told of no more than what was touched."""
        store, touched = self.store, self.store.touched
        for uid, said in self._said().items():
            assert uid in touched.deployments or said == self.said.get(uid)
        for name in DEVICES:
            shown = store.loads.shown(name)
            assert name in touched.loads or shown == self.shown.get(name, "0/0")
            self.shown[name] = shown
            action = publishing.decide(key_facts.gather(store, pair(name)))
            assert pair(name) in touched.pairs or action in (None, self.due.get(name))
            self.due[name] = action
        self.said = self._said()
        store.touched = Touched()

    def _said(self) -> dict[str, object]:
        """List what a status says of each deployment, as far as it comes from the store."""
        found: dict[str, object] = {}
        for uid in self.facts.deployments:
            sums = self.store.aggregate(uid)
            holds = self.store.holder(DeploymentName("web")) is self.store.deployments[uid]
            # Who matches nothing says of how many devices.
            of = len(self.facts.devices) if holds and not sums.matched else 0
            found[uid] = (sums, holds, of)
        return found

    def _counts_as(self, name: DeviceId, phase: Phase) -> bool:
        told = self.facts.states.get(pair(name))
        owner = self.facts.wanting()[name]
        return (
            name not in self.facts.silent
            and told is not None
            and owner.score is not None
            and told.revision == owner.score.revision
            and told.phase is phase
        )


TestWorld = WorldMachine.TestCase
TestWorld.settings = settings(max_examples=60, stateful_step_count=30)


def test_a_report_that_does_not_decode_leaves_the_last_one_standing():
    store = Store()
    store.put_deployment(deployment())
    store.put_device(device())
    store.put_state(pair(), making.report())
    store.put_state(pair(), None)
    assert store.aggregate("u1").running == 1


def test_what_stands_in_the_bucket_decides_who_holds_the_name():
    store = Store()
    store.put_deployment(deployment(uid="u1", namespace="default"))
    store.put_deployment(deployment(uid="u2", namespace="other", created=5))
    assert store.holder(DeploymentName("web")) == store.deployments["u1"]
    store.put_desired(pair(), making.put(making.score(uid="u2", namespace="other")))
    assert store.holder(DeploymentName("web")) == store.deployments["u2"]
    store.put_desired(pair(), making.marker())
    assert store.holder(DeploymentName("web")) == store.deployments["u1"]


def test_a_device_that_is_leaving_counts_no_longer_and_is_told_to_stop():
    store = Store()
    store.put_deployment(deployment())
    store.put_device(device())
    store.put_desired(pair(), making.put(making.score()))
    store.put_desired(pair(deployment="old"), making.garbage())  # of no deployment that is known
    store.touched = type(store.touched)()

    store.put_device(device(deleting_since=at(1)))
    assert store.aggregate("u1").matched == 0
    assert key_facts.gather(store, pair()).wanted is None
    assert key_facts.gather(store, pair()).ended
    assert store.touched.deployments == {"u1"}
    assert store.touched.pairs == {pair(), pair(deployment="old")}


def test_a_device_that_another_took_the_place_of_has_all_its_keys_looked_at():
    store = Store()
    store.put_device(device(created=at(-9)))
    store.put_desired(pair(), making.marker())
    store.touched.pairs.clear()
    store.put_device(replace(device(created=at(9)), uid="successor"))
    assert store.touched.pairs == {pair()}


@pytest.mark.parametrize(
    ("there", "unread"),
    [
        pytest.param(device(created=at(-9)), False, id="the device that it was written for"),
        pytest.param(device(created=at(9)), True, id="its successor"),
        pytest.param(device(deleting_since=at(9)), True, id="a device that is leaving"),
        pytest.param(None, True, id="no device"),
    ],
)
def test_a_marker_is_unread_until_somebody_who_could_read_it_has_acted(
    there: Device | None, unread: bool
):
    store = Store()
    if there is not None:
        store.put_device(there)
    store.put_desired(pair(), making.marker())
    assert key_facts.gather(store, pair()).unread is unread
    store.put_state(pair(), making.report())
    store.drop_state(pair())  # swept, or lost
    assert key_facts.gather(store, pair()).unread is unread
    store.touched.pairs.clear()
    store.clear_state(pair())
    assert not key_facts.gather(store, pair()).unread
    assert store.touched.pairs == {pair()}
    store.put_state(pair(), making.report())
    assert key_facts.gather(store, pair()).unread is unread


def test_what_was_written_and_is_told_back_is_no_change():
    store = Store()
    written = making.put(making.score())
    store.put_desired(pair(), written)
    store.touched = type(store.touched)()
    told = replace(written, at=written.at + timedelta(milliseconds=3))
    store.put_desired(pair(), told)
    assert not store.touched.pairs
    assert store.desired[pair()] is told
    store.put_desired(pair(), replace(told, revision=2))
    assert store.touched.pairs == {pair()}


def test_a_status_that_was_just_written_is_no_change_and_one_of_others_is():
    store = Store()
    store.put_deployment(deployment())
    store.put_device(device())
    for own in (True, False):
        store.touched = type(store.touched)()
        status = {"said": f"by {own}"}
        store.put_deployment(
            replace(store.deployments["u1"], status=status, version=2), own_status=own
        )
        store.put_device(
            replace(store.devices[DeviceId("d1")], status=status, version=2), own_status=own
        )
        assert store.touched.deployments == (set() if own else {"u1"})
        assert store.touched.devices == (set() if own else {DeviceId("d1")})


def test_a_change_of_status_alone_has_that_status_compared_and_nothing_else():
    store = Store()
    store.put_deployment(deployment())
    store.touched.deployments.clear()
    store.touched.pairs.clear()
    body = making.deployment_body() | {"status": {"ready": "1/1"}}
    store.put_deployment(custom_resources.parse_deployment(body))
    assert store.touched.deployments == {"u1"}
    assert not store.touched.pairs
    assert store.deployments["u1"].status == {"ready": "1/1"}


def test_one_report_touches_one_key_and_one_status():
    store = Store()
    store.put_deployment(deployment())
    store.put_deployment(deployment("other", uid="u2"))
    for name in DEVICES:
        store.put_device(device(name))
    store.touched = type(store.touched)()
    store.put_state(pair("d1"), making.report(key=pair("d1")))
    assert store.touched.pairs == {pair("d1")}
    assert store.touched.deployments == {"u1"}
    assert not store.touched.devices


def test_a_marker_is_looked_at_once_nothing_is_left_of_what_it_ends():
    store = Store()
    store.put_device(device())
    store.put_desired(pair(), making.marker())
    store.put_state(pair(), making.report())
    store.touched = Touched()
    store.drop_state(pair())
    assert store.touched.pairs == {pair()}


def test_a_report_that_moves_nothing_touches_no_status():
    store = Store()
    store.put_deployment(deployment())
    store.put_device(device())
    store.put_state(pair(), making.report())
    store.touched = type(store.touched)()
    store.put_state(pair(), making.report())
    assert not store.touched.deployments


def test_nothing_is_wanted_of_a_deployment_that_could_vanish_unseen():
    store = Store()
    store.put_device(device())
    bare = making.deployment_body()
    del bare["metadata"]["finalizers"]
    store.put_deployment(custom_resources.parse_deployment(bare))
    assert key_facts.gather(store, pair()).wanted is None

    store.put_deployment(deployment(version=2))
    assert key_facts.gather(store, pair()).wanted is not None
    assert store.aggregate("u1").matched == 1


@pytest.mark.parametrize("operator", ["DoesNotExist", "NotIn"])
def test_a_selector_of_what_is_not_there_matches_every_other_device(operator: str):
    store = Store()
    for name, labels in {"d1": {"site": "a"}, "d2": {"site": "b"}, "d3": {}}.items():
        store.put_device(device(name, labels))
    body = making.deployment_body()
    values = {"values": ["a", "b"]} if operator == "NotIn" else {}
    expression = {"key": "site", "operator": operator, **values}
    body["spec"]["targetSelector"] = {"matchExpressions": [expression]}
    store.put_deployment(custom_resources.parse_deployment(body))
    assert store.aggregate("u1").matched == 1
    assert key_facts.gather(store, pair("d3")).wanted is not None


def test_what_a_deployment_that_is_gone_wanted_is_looked_at():
    store = Store()
    store.put_deployment(deployment())
    store.put_device(device())
    store.touched = Touched()
    store.drop_deployment("u1")
    assert store.touched.pairs == {pair()}


def test_a_device_may_say_something_of_itself_and_then_nothing_any_more():
    store, name = Store(), DeviceId("d1")
    for told in (None, making.info(), None):
        store.touched = Touched()
        store.put_info(name, told)
        assert store.infos.get(name) == told
        assert store.touched.devices == {name}
