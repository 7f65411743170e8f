"""Token buckets: so many at once, so many per second, whoever asks and whenever."""

from hypothesis import given
from hypothesis import strategies as st

from fleet.operator.decisions.token_bucket import TokenBucket

moments = st.lists(st.floats(0, 100), min_size=1, max_size=100).map(sorted)


@given(moments)
def test_in_no_stretch_of_time_are_more_taken_than_burst_and_rate_allow(asked: list[float]):
    bucket = TokenBucket(rate=2, burst=5)
    taken = [moment for moment in asked if bucket.take(moment)]
    for first, begin in enumerate(taken):
        for count, end in enumerate(taken[first:], start=1):
            assert count <= 5 + 2 * (end - begin) + 1e-6


@given(moments)
def test_what_is_reserved_comes_at_the_rate_and_in_order(asked: list[float]):
    bucket = TokenBucket(rate=2, burst=5)
    granted = [moment + bucket.reserve(moment) for moment in asked]
    for first, begin in enumerate(granted):
        for count, end in enumerate(granted[first:], start=1):
            assert count <= 5 + 2 * (end - begin) + 1 + 1e-6


def test_tokens_come_back_up_to_the_burst():
    bucket = TokenBucket(rate=1, burst=2)
    assert [bucket.take(0) for _ in range(3)] == [True, True, False]
    assert [bucket.take(100) for _ in range(3)] == [True, True, False]


def test_a_clock_that_goes_back_gives_nothing():
    bucket = TokenBucket(rate=1, burst=1)
    assert bucket.take(100)
    assert not bucket.take(0)
    assert not bucket.take(100.5)
    assert bucket.take(101)


def test_each_reservation_takes_one_token_of_those_to_come():
    bucket = TokenBucket(rate=2, burst=2)
    assert [bucket.reserve(0) for _ in range(5)] == [0, 0, 0.5, 1, 1.5]
    assert bucket.reserve(1) == 1
