"""The recorder: each failure is logged, counted and told, and memory is bounded."""

from collections.abc import Hashable
from typing import Any

import pytest
from structlog.testing import capture_logs

from fleet import errors
from fleet.supervision import failures as failures_module
from fleet.supervision.failures import Failure, Failures
from tests.unit.supervision.recording import Remembering, recorder


def raised(message: str = "a bug") -> Exception:
    """Make an exception with a traceback, always from the same line."""
    error = ValueError(message)
    try:
        raise error
    except ValueError:
        return error


def test_a_failure_is_logged_with_its_traceback_once_and_again_after_some_minutes():
    now = 0.0
    failures = Failures(now=lambda: now)
    with capture_logs() as logs:
        for key in ("a", "b", "c"):
            failures.failed("part", key, raised(key))
        now += failures_module.TRACEBACK_SECONDS
        failures.failed("part", "d", raised())
    assert [entry["key"] for entry in logs] == ["a", "b", "c", "d"]
    assert [entry["key"] for entry in logs if "exc_info" in entry] == ["a", "d"]
    assert {entry["log_level"] for entry in logs} == {"error"}


def test_an_error_that_was_foreseen_is_a_warning_without_a_traceback():
    failures, watcher = recorder()
    with capture_logs() as logs:
        for _ in range(2):
            failures.failed("part", "a", errors.BusUnavailable("away"))
    said = {"event": "work failed", "part": "part", "key": "a", "reason": "BusUnavailable"}
    assert logs == [
        said | {"error": "away", "streak": 1, "log_level": "warning"},
        said | {"error": "away", "streak": 2, "log_level": "debug"},
    ]
    assert all(failure.is_foreseen for failure in watcher.failures)


def test_an_error_that_stands_for_a_bug_was_not_foreseen():
    failures, _ = recorder()
    with capture_logs() as logs:
        assert not failures.failed("part", "a", errors.InternalError("a bug")).is_foreseen
    assert [(e["log_level"], "exc_info" in e) for e in logs] == [("error", True)]


def test_who_counts_failures_in_a_row_itself_says_how_many():
    failures, _ = recorder()
    assert failures.failed("part", "a", raised(), streak=7).streak == 7
    assert failures.failed("part", "a", raised()).streak == 8


def test_a_block_that_ends_well_is_a_recovery():
    failures, watcher = recorder()
    with failures.contained("part") as broken:
        raise ValueError("a bug")
    assert broken.failure == failures.standing("part")[0]
    with capture_logs() as logs, failures.contained("part") as whole:
        pass
    assert whole.failure is None
    assert failures.standing() == ()
    assert watcher.recovered_parts == [("part", "")]
    assert logs == [{"event": "failure over", "part": "part", "key": "", "log_level": "info"}]


def test_a_failure_that_repeats_is_logged_ever_more_rarely():
    failures, watcher = recorder()
    with capture_logs() as logs:
        for _ in range(20):
            failures.failed("part", "a", raised())
    said = [entry["streak"] for entry in logs if entry["log_level"] == "error"]
    assert said == [1, 2, 4, 8, 16]
    assert watcher.streaks("part") == list(range(1, 21))


def test_failures_stand_until_they_recover():
    failures, watcher = recorder()
    failures.failed("part", "a", raised())
    failures.failed("part", "b", raised())
    failures.recovered("part", "a")
    failures.recovered("part", "a")
    failures.recovered("part", "never failed")
    assert [f.key for f in failures.standing()] == ["b"]
    assert failures.standing("another") == ()
    assert watcher.recovered_parts == [("part", "a")]


def test_a_failure_that_is_not_met_again_does_not_stand_for_ever():
    now, watcher = 0.0, Remembering()
    failures = Failures([watcher], now=lambda: now)
    failures.failed("part", "gone", raised())
    now = failures_module.STANDING_SECONDS
    failures.failed("part", "here", raised())
    failures.expire()
    assert [f.key for f in failures.standing()] == ["gone", "here"]
    now += 1
    failures.expire()
    assert [f.key for f in failures.standing()] == ["here"]
    assert watcher.recovered_parts == [("part", "gone")]


def test_what_is_remembered_is_bounded():
    failures, _ = recorder()
    for number in range(1000):
        failures.failed("part", str(number), raised())
    assert len(failures.standing()) == failures_module.KEPT_KEYS
    assert len(failures._parts["part"].at) == failures_module.KEPT_KEYS
    assert failures.counts == {"part": 1000}


def test_the_places_whose_tracebacks_were_logged_are_bounded_and_the_oldest_is_forgotten():
    failures, _ = recorder()
    with capture_logs() as logs:
        for number in [*range(failures_module.KEPT_PLACES + 1), 1, 0]:
            failures.failed("part", str(number), type(f"Bug{number}", (Exception,), {})())
    told = [entry["key"] for entry in logs if "exc_info" in entry]
    assert told == [*map(str, range(failures_module.KEPT_PLACES + 1)), "0"]
    assert len(failures._logged) == failures_module.KEPT_PLACES


class _Broken(Remembering):
    def failed(self, _: Failure) -> None:
        raise MemoryError

    def recovered(self, _: str, __: Hashable) -> None:
        raise RecursionError


def test_a_watcher_with_a_bug_keeps_nobody_from_being_told():
    watcher = Remembering()
    failures = Failures([_Broken()])
    failures.add_watcher(watcher)
    with capture_logs() as logs:
        failures.failed("part", "a", raised())
        failures.recovered("part", "a")
    assert len(watcher.failures) == len(watcher.recovered_parts) == 1
    untold = [entry["error"] for entry in logs if entry["event"] == "failure not told"]
    assert [error.partition(":")[0] for error in untold] == ["MemoryError", "RecursionError"]


def test_an_exception_that_cannot_be_printed_is_recorded():
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise ValueError

    failures, watcher = recorder()
    failures.failed("part", "a", Unprintable())
    assert "no message" in watcher.failures[0].message


@pytest.mark.parametrize("field", ["reason", "message"])
def test_a_failure_holds_words_and_no_exception(field: str):
    failures, watcher = recorder()
    failures.failed("part", "a", raised())
    value: Any = getattr(watcher.failures[0], field)
    assert isinstance(value, str)
