"""How patient the bus is."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
