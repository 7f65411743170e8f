"""`lab.system.waiting`: a wait ends at once when it is pointless, and says what it last saw."""

from collections.abc import Iterator

import pytest

from lab.errors import PartDied, WaitTimedOut
from lab.system import waiting
from tests.waiting import Clock


def told(*answers: str) -> waiting.Probe:
    left: Iterator[str] = iter(answers)
    return lambda: next(left)


def test_a_wait_ends_when_nothing_is_missing():
    clock, seen = Clock(), list[str]()

    waiting.wait_for(
        "it is ready",
        told("no socket", "no socket", "no answer", ""),
        within=10,
        saw=seen.append,
        clock=clock,
        sleep=clock.sleep,
    )

    assert seen == ["no socket", "no answer"]


def test_a_wait_that_runs_out_says_what_it_last_saw():
    clock = Clock()

    with pytest.raises(WaitTimedOut, match=r"it is ready: not within 1 s; last seen: OSError: no"):
        waiting.wait_for("it is ready", _raise, within=1, clock=clock, sleep=clock.sleep)


def test_a_wait_without_any_time_still_looks_once():
    clock = Clock()

    waiting.wait_for("it is ready", told(""), within=0, clock=clock, sleep=clock.sleep)

    assert clock.now == 0


def test_a_wait_that_became_pointless_ends_at_once():
    clock = Clock()

    def check() -> None:
        raise PartDied("etcd ended")

    with pytest.raises(PartDied):
        waiting.wait_for("x", told(), within=60, check=check, clock=clock, sleep=clock.sleep)

    assert clock.now == 0


def _raise() -> str:
    raise OSError("no such socket")
