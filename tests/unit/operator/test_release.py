"""Release: a deletion waits for what is heard, and for nothing for ever."""

import pytest

from fleet.bus.port import Entry
from fleet.contracts.messages import ReconcileScore
from fleet.contracts.names import DeviceId
from fleet.operator import release
from fleet.operator.world import World
from tests.unit.operator import making
from tests.unit.operator.making import at, deployment, device, pair

DELETED = deployment(deleted=0)


@pytest.fixture
def world() -> World:
    """One device that runs what is being deleted; the marker is written."""
    made = World()
    made.put_deployment(DELETED)
    made.put_device(device())
    made.put_desired(pair(), making.marker())
    made.put_state(pair(), making.report())
    return made


def test_a_device_that_is_heard_is_waited_for(world: World):
    assert not release.judge(world, DELETED, at(299)).released


def test_once_the_state_is_gone_it_is_released(world: World):
    world.drop_state(pair())
    assert release.judge(world, DELETED, at(1)) == release.Verdict(released=True)


def test_a_silent_device_is_not_waited_for_but_named(world: World):
    world.set_silent(DeviceId("d1"), silent=True)
    assert release.judge(world, DELETED, at(1)) == release.Verdict(True, (DeviceId("d1"),))


def test_a_device_without_object_is_not_waited_for(world: World):
    world.drop_device(DeviceId("d1"))
    assert release.judge(world, DELETED, at(1)).released


def test_patience_ends_counted_from_the_deletion(world: World):
    assert release.judge(world, DELETED, at(300)) == release.Verdict(True, (DeviceId("d1"),))


def test_nothing_is_released_while_a_value_of_its_own_stands(world: World):
    world.put_desired(pair(), making.put(making.score()))
    world.drop_state(pair())
    assert not release.judge(world, DELETED, at(9999)).released


def test_one_device_is_not_waited_for_longer_because_of_another(world: World):
    world.put_device(device("d2"))
    world.put_state(pair("d2"), making.report(key=pair("d2")))
    world.drop_state(pair())
    world.set_silent(DeviceId("d2"), silent=True)
    assert release.judge(world, DELETED, at(1)).left == (DeviceId("d2"),)


LEAVING = device(deleting_since=at(0))


def test_a_device_that_is_heard_stops_everything_before_it_goes(world: World):
    assert not release.judge_device(world, LEAVING, at(299)).released
    world.drop_state(pair())
    assert release.judge_device(world, LEAVING, at(1)) == release.Verdict(released=True)


def test_a_device_is_not_waited_for_when_it_is_silent_or_too_slow(world: World):
    left = release.Verdict(True, ("web",))
    assert release.judge_device(world, LEAVING, at(300)) == left
    world.set_silent(DeviceId("d1"), silent=True)
    assert release.judge_device(world, LEAVING, at(1)) == left


@pytest.mark.parametrize("entry", [making.put(making.score()), making.garbage()])
def test_no_device_goes_before_its_workloads_are_withdrawn(
    world: World, entry: Entry[ReconcileScore]
):
    world.put_desired(pair(), entry)
    world.drop_state(pair())
    world.set_silent(DeviceId("d1"), silent=True)
    assert not release.judge_device(world, LEAVING, at(9999)).released


def test_a_device_of_which_nothing_is_known_may_go_at_once():
    assert release.judge_device(World(), LEAVING, at(0)).released


def test_who_does_not_hold_the_name_waits_for_nobody(world: World):
    loser = deployment(uid="u9", namespace="other", created=5, deleted=6)
    world.put_deployment(loser)
    assert release.judge(world, loser, at(7)) == release.Verdict(released=True)
