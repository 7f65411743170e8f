"""Suites run to their end, whatever becomes of the others."""

import sys
from pathlib import Path

import pytest

from lab.proof import running
from lab.proof.results import Result
from lab.proof.suites import Suite


def python(name: str, code: str) -> Suite:
    return Suite(name, (sys.executable, "-c", code))


FAILS = python("fails", "import sys; print('why'); sys.exit(3)")
PASSES = python("passes", "print('fine')")


@pytest.fixture(autouse=True)
def _in_a_tree_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)


def test_a_failed_suite_tells_its_status_and_output():
    result = running.run(FAILS)
    assert (result.passed, result.status, result.output) == (False, 3, "why\n")


def test_a_failure_stops_no_other_and_order_is_kept():
    announced: list[Result] = []
    done = running.run_together([FAILS, PASSES], announce=announced.append)
    assert [result.name for result in done] == ["fails", "passes"]
    assert {result.name for result in announced} == {"fails", "passes"}
    assert [result.passed for result in running.run_in_turn([FAILS, PASSES])] == [False, True]


def test_a_report_of_an_earlier_run_counts_for_nothing(tmp_path: Path):
    report = Path("build/junit.xml")
    report.parent.mkdir()
    report.write_text('<testsuite tests="1" failures="0" errors="0" skipped="0"/>')
    assert running.run(Suite("unit", PASSES.command, report)).counts is None
