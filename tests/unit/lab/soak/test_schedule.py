"""`lab.soak.schedule`: which fault breaks which session, by a seed alone."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import TopologyInvalid
from lab.soak import schedule
from lab.soak.lane import Limits
from lab.soak.schedule import FAULT_SECONDS, LOAD_SECONDS, LONGER, Fault

SEEDS = st.integers(min_value=1, max_value=10**9)


@given(SEEDS, st.integers(min_value=1, max_value=80))
def test_a_session_is_planned_the_same_alone_and_among_others(seed: int, sessions: int):
    planned = schedule.plan(seed, sessions)
    assert [each.number for each in planned] == list(range(1, sessions + 1))
    assert schedule.at(seed, sessions) == planned[-1]


@given(SEEDS)
def test_each_fault_comes_as_often_as_the_others(seed: int):
    counted = Counter(each.fault for each in schedule.plan(seed, 3 * len(Fault)))
    assert counted == dict.fromkeys(Fault, 3)


@given(SEEDS, st.integers(min_value=1, max_value=10_000))
def test_what_is_left_to_chance_stays_within_its_bounds(seed: int, number: int):
    each = schedule.at(seed, number)
    least, most = LONGER.get(each.fault, FAULT_SECONDS)
    assert least <= each.lasts <= most
    assert LOAD_SECONDS[0] <= each.after <= LOAD_SECONDS[1]
    assert 0 <= each.share < 1


def test_enough_sessions_are_silent_for_long_enough_to_tell_who_says_that_he_is_connected():
    planned = schedule.plan(1, 100)
    assert any(each.silences_all and each.lasts > Limits().truth for each in planned)


def test_another_seed_is_another_schedule():
    assert schedule.plan(1, 40) != schedule.plan(2, 40)


def test_a_seed_stands_for_its_schedule_for_ever():
    """Or a failure of yesterday couldn't be run again."""
    each = schedule.at(7, 1)
    assert (each.fault, each.needs_cluster) == (Fault.RESET, False)
    assert (each.after, each.lasts) == pytest.approx((0.47905610, 1.74369675))


def test_sessions_are_chosen_by_their_numbers():
    assert schedule.choose(50, "") == frozenset()
    assert schedule.choose(50, "17, 23,17") == {17, 23}


@pytest.mark.parametrize(
    ("sessions", "only"),
    [(0, ""), (-3, ""), (5, "99"), (5, "0"), (5, "x,y"), (5, "-1"), (5, "1.5")],
)
def test_sessions_that_there_are_not_are_refused(sessions: int, only: str):
    with pytest.raises(TopologyInvalid):
        schedule.choose(sessions, only)
