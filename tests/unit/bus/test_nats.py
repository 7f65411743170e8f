"""How patient the bus is."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.bus import nats, port
from fleet.bus.nats import Pace


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0.2), (1, 0.4), (2, 0.8), (3, 1.6), (10, 15), (10_000, 15)]
)
def test_retries_double_up_to_the_longest(failures, seconds):
    assert Pace().retry(failures, chance=1) == pytest.approx(seconds)


@given(st.integers(0, 100_000), st.floats(0, 1, exclude_max=True))
def test_a_retry_is_never_longer_than_the_longest_nor_at_once(failures, chance):
    pace = Pace(first_retry=timedelta(seconds=1), longest_retry=timedelta(seconds=10))
    assert 0.5 <= pace.retry(failures, chance) <= 10


def test_chance_spreads_retries_over_half_of_the_delay():
    assert Pace().retry(0, 0) == pytest.approx(0.1)


def test_only_a_session_that_held_for_a_while_makes_good_for_the_failures_before():
    pace = Pace(settled=timedelta(seconds=10))
    assert pace.failures_after(3, stood=0.5) == 4
    assert pace.failures_after(3, stood=10) == 0


@given(st.lists(st.floats(0, 9.9), min_size=1, max_size=20))
def test_sessions_that_do_not_last_are_opened_ever_more_rarely(stood):
    pace, failures, delays = Pace(), 0, []
    for seconds in stood:
        failures = pace.failures_after(failures, stood=seconds)
        delays.append(pace.retry(failures, chance=0))
    assert delays == sorted(delays)


@given(st.floats(0, 1, exclude_max=True))
def test_a_watch_waits_within_the_jitter_and_the_first_within_a_quarter_of_it(chance):
    pace = Pace(jitter=timedelta(seconds=60))
    assert pace.spread(is_first=False, chance=chance) == 60 * chance
    assert pace.spread(is_first=True, chance=chance) == 15 * chance


def test_a_client_alone_is_spread_among_nobody():
    assert nats.ALONE.spread(is_first=False, chance=0.999) == 0


def test_a_silent_server_is_asked_twice_before_it_is_left():
    pace = Pace()
    assert 2 * pace.ping < pace.silence < 3 * pace.ping
    assert pace.ping.total_seconds() < port.HEARD_SECONDS < pace.silence.total_seconds()
