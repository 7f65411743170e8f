"""
What the store touches: every key whose action changed, and no crowd of keys besides.

The goal is stated naively: what is to be done at each key is decided anew after every event.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from fleet.bus.port import Entry
from fleet.contracts.messages import Phase, ReconcileScore
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.operator.decisions import publishing
from fleet.operator.decisions.publishing import Action
from fleet.operator.model import custom_resources, key_facts
from fleet.operator.model.matching.index import Pair
from fleet.operator.model.store import Store, Touched
from tests.unit.operator import making
from tests.unit.operator.making import at, deployment, deployment_body, device, pair

NAMES = ["web", "app"]
DEVICES = ["d1", "d2", "d3"]
UIDS = {"u1": ("web", "default"), "u2": ("web", "other"), "u3": ("app", "default")}
SITES = ["a", "b"]
IMAGES = ["web:1", "web:2"]
PAIRS = [pair(name, each) for name in DEVICES for each in NAMES]
pairs = st.sampled_from(PAIRS)


class TouchMachine(RuleBasedStateMachine):
    """Changes the store, and remembers what was to be done at each key."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.before: dict[Pair, Action | None] = dict.fromkeys(PAIRS)

    @initialize()
    def begin_with_what_matches(self) -> None:
        """Or most changes would concern nobody, and be found to touch nothing."""
        for uid in ("u1", "u3"):
            self.store.put_deployment(deployment(UIDS[uid][0], uid=uid))
        for name in DEVICES[:2]:
            self.store.put_device(device(name, created=at(-9)))

    @rule(
        uid=st.sampled_from(sorted(UIDS)),
        site=st.sampled_from(SITES),
        image=st.sampled_from([*IMAGES, ""]),  # the empty one is refused
        generation=st.integers(1, 3),
        deleted=st.sampled_from([None, None, None, 9]),
        guarded=st.sampled_from([True, True, True, False]),
    )
    def put_deployment(  # noqa: PLR0917 - Hypothesis names them
        self,
        uid: str,
        site: str,
        image: str,
        generation: int,
        deleted: float | None,
        guarded: bool,
    ) -> None:
        name, namespace = UIDS[uid]
        body = deployment_body(
            name,
            uid=uid,
            namespace=namespace,
            labels={"site": site},
            image=image,
            generation=generation,
            deleted=deleted,
        )
        if not guarded:
            del body["metadata"]["finalizers"]
        self.store.put_deployment(custom_resources.parse_deployment(body))

    @rule(uid=st.sampled_from(sorted(UIDS)))
    def drop_deployment(self, uid: str) -> None:
        self.store.drop_deployment(uid)

    @rule(
        name=st.sampled_from(DEVICES),
        site=st.sampled_from(SITES),
        created=st.sampled_from([-9.0, 9.0]),
        deleted=st.sampled_from([None, None, at(9)]),
    )
    def put_device(self, name: str, site: str, created: float, deleted: object) -> None:
        made = device(name, {"site": site}, created=at(created), deleting_since=deleted)
        self.store.put_device(made)

    @rule(name=st.sampled_from(DEVICES))
    def drop_device(self, name: str) -> None:
        self.store.drop_device(DeviceId(name))

    @rule(
        key=pairs,
        uid=st.sampled_from([*sorted(UIDS), "gone", ""]),
        image=st.sampled_from(IMAGES),
        generation=st.integers(1, 3),
        revision=st.integers(1, 2),
    )
    def put_desired(self, key: Pair, uid: str, image: str, generation: int, revision: int) -> None:
        name, namespace = UIDS.get(uid, (key.deployment, "default"))
        if name != key.deployment:
            return  # nobody writes a value of another name to a key
        value = making.score(image, uid=uid, namespace=namespace, generation=generation)
        self.store.put_desired(key, making.put(value, revision, key))

    @rule(key=pairs, what=st.sampled_from([making.marker(), making.garbage(), None]))
    def put_no_value(self, key: Pair, what: Entry[ReconcileScore] | None) -> None:
        self.store.put_desired(key, what)

    @rule(key=pairs, phase=st.sampled_from([*Phase, None]))
    def put_state(self, key: Pair, phase: Phase | None) -> None:
        self.store.put_state(key, None if phase is None else making.report(phase, key=key))

    @rule(key=pairs, by_device=st.booleans())
    def drop_state(self, key: Pair, by_device: bool) -> None:
        (self.store.clear_state if by_device else self.store.drop_state)(key)

    @rule(name=st.sampled_from(DEVICES), silent=st.booleans())
    def set_silent(self, name: str, silent: bool) -> None:
        self.store.set_silent(DeviceId(name), silent=silent)

    @rule(orphans=st.dictionaries(pairs, st.integers(0, 2), max_size=3))
    def allow_removal(self, orphans: dict[Pair, int]) -> None:
        for key, revision in orphans.items():
            self.store.allow_removal(key, revision)

    @rule(keys=st.sets(pairs, max_size=3))
    def forbid_removal(self, keys: set[Pair]) -> None:
        for key in keys:
            self.store.forbid_removal(key)

    @invariant()
    def what_is_to_be_done_anew_is_touched(self) -> None:
        after = {key: publishing.decide(key_facts.gather(self.store, key)) for key in PAIRS}
        due = {key for key in PAIRS if after[key] is not None and after[key] != self.before[key]}
        assert due <= self.store.touched.pairs
        self.before = after
        self.store.touched = Touched()


def test_no_key_at_which_something_is_to_be_done_is_missed():
    run_state_machine_as_test(
        TouchMachine, settings=settings(max_examples=100, stateful_step_count=20)
    )


DEPLOYMENTS = 10
COUNT = 200


@pytest.fixture
def store() -> Store:
    """Make a fleet in which everything stands as it is wanted."""
    made = Store()
    for number in range(DEPLOYMENTS):
        made.put_deployment(deployment(f"web-{number}", uid=f"u{number}"))
    for number in range(COUNT):
        made.put_device(device(f"d{number}"))
        for each in range(DEPLOYMENTS):
            key = pair(f"d{number}", f"web-{each}")
            value = key_facts.gather(made, key).wanted
            assert value is not None
            made.put_desired(key, making.put(value, key=key))
            made.put_state(key, making.report(key=key))
    made.touched = Touched()
    return made


def test_a_deployment_that_matches_nothing_touches_no_key(store: Store):
    for number in range(100):
        store.put_deployment(
            deployment(f"new-{number}", uid=f"n{number}", labels={"site": "nowhere"})
        )
    assert not store.touched.pairs


def test_a_new_score_touches_the_matched_keys_of_its_deployment_alone(store: Store):
    store.put_deployment(deployment("web-0", uid="u0", image="web:2", generation=2))
    assert store.touched.pairs == {pair(f"d{number}", "web-0") for number in range(COUNT)}


def test_another_generation_of_the_same_score_and_selector_touches_no_key(store: Store):
    store.put_deployment(deployment("web-0", uid="u0", generation=2))
    assert not store.touched.pairs


def test_labels_that_no_selector_asks_for_touch_no_key(store: Store):
    for number in range(COUNT):
        store.put_device(device(f"d{number}", {"site": "a", "rack": "7"}))
    assert not store.touched.pairs


def test_labels_that_leave_every_selector_touch_the_keys_of_that_device_alone(store: Store):
    store.put_device(device("d7", {"site": "b"}))
    assert store.touched.pairs == {pair("d7", f"web-{each}") for each in range(DEPLOYMENTS)}


def test_labels_that_end_the_claim_of_a_deployment_that_matches_nobody_yet_touch_that_key():
    """It has no finalizer yet; a value whose owner is gone was perhaps its."""
    store, body = Store(), deployment_body()
    del body["metadata"]["finalizers"]
    store.put_deployment(custom_resources.parse_deployment(body))
    store.put_device(device())
    store.put_desired(pair(), making.put(making.score(uid="gone")))
    store.touched = Touched()
    store.put_device(device(labels={"site": "b"}))
    assert store.touched.pairs == {pair()}


def test_a_selector_that_leaves_some_devices_touches_those_alone(store: Store):
    store.put_device(device("d7", {"site": "a", "rack": "7"}))
    store.put_deployment(deployment("web-0", uid="u0", labels={"site": "a", "rack": "7"}))
    assert store.touched.pairs == {
        pair(f"d{number}", "web-0") for number in range(COUNT) if number != 7
    }


def test_reports_of_a_state_that_is_known_touch_no_key(store: Store):
    for number in range(COUNT):
        key = pair(f"d{number}", "web-0")
        store.put_state(key, making.report(Phase.PENDING, key=key))
    assert not store.touched.pairs
    assert store.touched.deployments == {"u0"}


def test_a_device_that_comes_touches_one_key_for_each_deployment_that_wants_it(store: Store):
    store.put_deployment(deployment("far", uid="far", labels={"site": "nowhere"}))
    store.put_device(device("new"))
    assert store.touched.pairs == {pair("new", f"web-{each}") for each in range(DEPLOYMENTS)}


def test_who_holds_a_name_does_not_touch_the_keys_of_other_names(store: Store):
    store.put_deployment(deployment("web-0", uid="rival", namespace="other", created=5))
    touched = {key.deployment for key in store.touched.pairs}
    assert touched <= {DeploymentName("web-0")}
