"""`lab.plugin.results`: the worst phase of a test is what came of it."""

from typing import Any

import pytest

from lab.plugin.results import Results


def report(when: Any = "call", outcome: Any = "passed", **more: Any) -> pytest.TestReport:
    """One phase of a test."""
    times = {"start": 10.0, "stop": 11.0}
    return pytest.TestReport(
        nodeid="t.py::test_it", location=("t.py", 1, "test_it"), keywords={}, longrepr="why",
        when=when, outcome=outcome, **{**times, **more},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("phases", "outcome"),
    [
        ([("setup", "passed"), ("call", "passed"), ("teardown", "passed")], "passed"),
        ([("setup", "skipped")], "skipped"),
        ([("setup", "passed"), ("call", "failed"), ("teardown", "passed")], "failed"),
        ([("setup", "failed")], "error"),
        ([("setup", "passed"), ("call", "failed"), ("teardown", "failed")], "error"),
        ([("call", "rerun"), ("call", "passed")], "passed"),
    ],
)
def test_the_worst_phase_counts(phases: list[tuple[str, str]], outcome: str):
    results = Results(0)
    for when, came in phases:
        results.add(report(when, came))

    assert [each.outcome for each in results.tests.values()] == [outcome]


@pytest.mark.parametrize(("came", "outcome"), [("skipped", "xfailed"), ("passed", "xpassed")])
def test_an_expected_failure_is_none(came: str, outcome: str):
    results = Results(0)
    results.add(report(outcome=came, wasxfail="not yet"))

    assert [each.outcome for each in results.tests.values()] == [outcome]


def test_a_test_lasts_from_its_first_phase_to_its_last():
    results = Results(0)
    results.add(report("setup", start=1.0, stop=2.0))
    results.add(report("teardown", start=4.0, stop=5.0))

    (found,) = results.tests.values()
    assert (found.begun, found.ended) == (1.0, 5.0)


def test_a_crash_that_has_no_times_is_now():
    results = Results(0, clock=lambda: 99.0)
    results.add(report("???", "failed", start=0, stop=0))

    (found,) = results.tests.values()
    assert (found.begun, found.ended, found.outcome) == (99.0, 99.0, "error")
