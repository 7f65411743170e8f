"""Correlating: a crowd of Events becomes few, the last of each kept; memory is bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.operator.decisions import event_correlator
from fleet.operator.decisions.event_correlator import Correlator, Post
from fleet.operator.decisions.events import Event, Severity, Subject
from tests.unit.operator.making import at

HOUR = 3600


def event(number: int = 1, reason: str = "Stale", message: str = "no heartbeat") -> Event:
    about = Subject("Device", f"d{number}", f"uid-{number}")
    return Event(about, Severity.WARNING, reason, message)


def crowd(correlator: Correlator, count: int, seconds: float = 0) -> list[Post]:
    found = [correlator.take(event(number), at(seconds)) for number in range(count)]
    return [post for post in found if post is not None]


def test_the_same_again_counts_up_in_one_series():
    correlator = Correlator()
    first = correlator.take(event(), at(0))
    second = correlator.take(event(message="still none"), at(60))
    assert first is not None
    assert second is not None
    assert first.key == second.key
    assert second.series == event_correlator.Series(at(0), at(60), 2)
    assert second.event.message == "still none"


def test_a_series_that_the_api_server_forgot_begins_anew():
    correlator = Correlator()
    correlator.take(event(), at(0))
    later = correlator.take(event(), at(2 * HOUR))
    assert later is not None
    assert later.series.count == 1


def test_a_thousand_devices_that_fall_silent_at_once_are_some_lines_and_a_sum():
    correlator = Correlator()
    posted = crowd(correlator, 1000)
    assert len(posted) == event_correlator.ALL_BURST
    (summary,) = correlator.catch_up(at(5))
    assert "949 more" in summary.event.message
    assert correlator.catch_up(at(10)) == ()


def test_each_reason_that_was_left_out_gets_a_sum_of_its_own():
    correlator = Correlator()
    crowd(correlator, event_correlator.ALL_BURST)
    for number in range(3):
        assert correlator.take(event(number, "Stale"), at(0)) is None
        assert correlator.take(event(number, "Heard"), at(0)) is None
    assert {post.event.reason for post in correlator.catch_up(at(60))} == {"Stale", "Heard"}


def test_devices_leave_room_for_deployments():
    correlator = Correlator()
    crowd(correlator, 1000)
    about = Subject("Deployment", "web", "u1", "default")
    assert correlator.take(Event(about, Severity.WARNING, "NameConflict", "held"), at(0))


def test_one_object_that_flaps_leaves_room_for_the_others():
    correlator = Correlator()
    flaps = [correlator.take(event(1, message=str(n)), at(n / 10)) for n in range(100)]
    assert len([post for post in flaps if post]) <= event_correlator.EACH_BURST + 1
    assert correlator.take(event(2), at(10)) is not None
    (last,) = correlator.catch_up(at(60))
    assert (last.event.message, last.series.count) == ("99", 100)


def test_what_is_told_after_all_is_not_told_again_as_left_out():
    correlator = Correlator()
    crowd(correlator, event_correlator.ALL_BURST)
    assert correlator.take(event(9999), at(0)) is None
    assert correlator.take(event(9999), at(60)) is not None
    assert correlator.catch_up(at(120)) == ()


times = st.lists(st.floats(0, 60), min_size=80, max_size=150).map(sorted)


@given(times)
def test_no_more_is_posted_than_the_rate_allows(moments: list[float]):
    correlator = Correlator()
    posted = [
        moment
        for number, moment in enumerate(moments)
        if correlator.take(event(number), at(moment)) is not None
    ]
    for first, begin in enumerate(posted):
        for count, end in enumerate(posted[first:], start=1):
            assert (
                count <= event_correlator.ALL_BURST + event_correlator.ALL_RATE * (end - begin) + 1
            )


@pytest.mark.parametrize("count", [event_correlator.KEPT, 2 * event_correlator.KEPT])
def test_memory_is_bounded_however_many_objects_there_are(count: int):
    """Three tables: series, who told something, and who was left out."""
    correlator = Correlator()
    posted = crowd(correlator, count)
    left_out = min(count - len(posted), event_correlator.KEPT)
    told = len(posted)
    assert len(correlator) == event_correlator.KEPT + told + left_out
    (summary,) = correlator.catch_up(at(60))
    assert f"of {left_out - 1} more" in summary.event.message


def test_who_told_something_is_bounded_too():
    """Each has a part of its own: a crowd that never tells too much at once."""
    correlator = Correlator()
    for number in range(event_correlator.KEPT + 10):
        assert correlator.take(event(number), at(number))
    assert len(correlator) == 2 * event_correlator.KEPT


def test_the_oldest_are_forgotten_first():
    correlator = Correlator()
    for number in range(event_correlator.KEPT + 1):
        correlator.take(event(number), at(number / 2))
    now = at(event_correlator.KEPT)
    counts = []
    for number in (event_correlator.KEPT, 0):
        post = correlator.take(event(number), now)
        assert post is not None
        counts.append(post.series.count)
    assert counts == [2, 1]


def test_the_sum_is_the_last_of_those_left_out_with_a_word_on_the_rest():
    correlator = Correlator()
    crowd(correlator, event_correlator.ALL_BURST)
    for number in (101, 102):
        assert correlator.take(event(number, message=f"d{number} is silent"), at(0)) is None
    (summary,) = correlator.catch_up(at(60))
    rest = "(and so of 1 more, which are not listed one by one)"
    assert summary.event.message == f"d102 is silent {rest}"


def test_one_that_was_left_out_alone_is_told_as_it_was():
    correlator = Correlator()
    crowd(correlator, event_correlator.ALL_BURST)
    assert correlator.take(event(101), at(0)) is None
    (summary,) = correlator.catch_up(at(60))
    assert summary.event == event(101)
    assert summary.series == event_correlator.Series(at(0), at(0), 1)


def test_the_sum_of_what_was_forgotten_begins_its_series_anew():
    """Others told so much since that its series had to go."""
    correlator = Correlator()
    crowd(correlator, event_correlator.ALL_BURST)
    assert correlator.take(event(9999), at(0)) is None
    for number in range(event_correlator.KEPT):
        about = Subject("Deployment", "web", f"u{number}", "default")
        correlator.take(Event(about, Severity.WARNING, "NameConflict", "held"), at(0))
    sums = {post.event.about.uid: post for post in correlator.catch_up(at(60))}
    assert sums["uid-9999"].series == event_correlator.Series(at(60), at(60), 1)
