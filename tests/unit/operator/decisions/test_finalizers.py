"""Release: a deletion waits for what is heard, and for nothing for ever."""

import pytest

from fleet.bus.port import Entry
from fleet.contracts.messages import ReconcileScore
from fleet.contracts.names import DeviceId
from fleet.operator.decisions import finalizers
from fleet.operator.model.store import Store
from tests.unit.operator import making
from tests.unit.operator.making import at, deployment, device, pair

DELETED = deployment(deleted=0)


@pytest.fixture
def store() -> Store:
    """One device that runs what is being deleted; the marker is written."""
    made = Store()
    made.put_deployment(DELETED)
    made.put_device(device())
    made.put_desired(pair(), making.marker())
    made.put_state(pair(), making.report())
    return made


def test_a_device_that_is_heard_is_waited_for(store: Store):
    assert not finalizers.judge(store, DELETED, at(299)).released


def test_once_the_state_is_gone_it_is_released(store: Store):
    store.drop_state(pair())
    assert finalizers.judge(store, DELETED, at(1)) == finalizers.Verdict(released=True)


def test_a_silent_device_is_not_waited_for_but_named(store: Store):
    store.set_silent(DeviceId("d1"), silent=True)
    assert finalizers.judge(store, DELETED, at(1)) == finalizers.Verdict(True, (DeviceId("d1"),))


def test_a_device_without_object_is_not_waited_for(store: Store):
    store.drop_device(DeviceId("d1"))
    assert finalizers.judge(store, DELETED, at(1)).released


def test_patience_ends_counted_from_the_deletion(store: Store):
    assert finalizers.judge(store, DELETED, at(300)) == finalizers.Verdict(True, (DeviceId("d1"),))


def test_nothing_is_released_while_a_value_of_its_own_stands(store: Store):
    store.put_desired(pair(), making.put(making.score()))
    store.drop_state(pair())
    assert not finalizers.judge(store, DELETED, at(9999)).released


def test_one_device_is_not_waited_for_longer_because_of_another(store: Store):
    store.put_device(device("d2"))
    store.put_state(pair("d2"), making.report(key=pair("d2")))
    store.drop_state(pair())
    store.set_silent(DeviceId("d2"), silent=True)
    assert finalizers.judge(store, DELETED, at(1)).left == (DeviceId("d2"),)


LEAVING = device(deleting_since=at(0))


def test_a_device_that_is_heard_stops_everything_before_it_goes(store: Store):
    assert not finalizers.judge_device(store, LEAVING, at(299)).released
    store.drop_state(pair())
    assert finalizers.judge_device(store, LEAVING, at(1)) == finalizers.Verdict(released=True)


def test_a_device_is_not_waited_for_when_it_is_silent_or_too_slow(store: Store):
    left = finalizers.Verdict(True, ("web",))
    assert finalizers.judge_device(store, LEAVING, at(300)) == left
    store.set_silent(DeviceId("d1"), silent=True)
    assert finalizers.judge_device(store, LEAVING, at(1)) == left


@pytest.mark.parametrize("entry", [making.put(making.score()), making.garbage()])
def test_no_device_goes_before_its_workloads_are_withdrawn(
    store: Store, entry: Entry[ReconcileScore]
):
    store.put_desired(pair(), entry)
    store.drop_state(pair())
    store.set_silent(DeviceId("d1"), silent=True)
    assert not finalizers.judge_device(store, LEAVING, at(9999)).released


def test_a_device_of_which_nothing_is_known_may_go_at_once():
    assert finalizers.judge_device(Store(), LEAVING, at(0)).released


def test_who_does_not_hold_the_name_waits_for_nobody(store: Store):
    loser = deployment(uid="u9", namespace="other", created=5, deleted=6)
    store.put_deployment(loser)
    assert finalizers.judge(store, loser, at(7)) == finalizers.Verdict(released=True)
