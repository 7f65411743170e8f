"""Waits say what they last saw."""

import pytest

from fleet import errors
from fleet.scores import waiting
from tests.waiting import Clock


def test_nothing_missing_ends_the_wait():
    clock = Clock()
    left = ["two are missing", "one is missing", ""]
    waiting.until("parts", lambda: left.pop(0), within=10, every=1, clock=clock, sleep=clock.sleep)
    assert clock.now == 2


def test_giving_up_names_what_was_missing_last():
    clock = Clock()
    with pytest.raises(errors.NotReady, match="the door within 3 s: still shut"):
        waiting.until(
            "the door", lambda: "still shut", within=3, every=1, clock=clock, sleep=clock.sleep
        )


def test_a_retryable_error_is_something_missing():
    clock = Clock()

    def look() -> str:
        raise errors.ClusterUnavailable("nobody answers")

    with pytest.raises(errors.NotReady, match="nobody answers"):
        waiting.until("the API", look, within=3, every=1, clock=clock, sleep=clock.sleep)


def test_a_permanent_error_ends_the_wait_at_once():
    clock = Clock()

    def look() -> str:
        raise errors.ClusterRefused("no right to look")

    with pytest.raises(errors.ClusterRefused):
        waiting.until("the API", look, within=3, every=1, clock=clock, sleep=clock.sleep)
    assert clock.now == 0
