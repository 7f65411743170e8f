"""How a suite went is read from its JUnit report, and told in a table."""

from pathlib import Path

from rich.console import Console

from lab.proof import results
from lab.proof.results import Counts, Result

REPORT = """<testsuites>
<testsuite tests="7" failures="1" errors="1" skipped="2"/>
<testsuite tests="3" failures="0" errors="0" skipped="0"/>
</testsuites>"""


def test_counts_are_summed_over_the_report(tmp_path: Path):
    report = tmp_path / "junit.xml"
    report.write_text(REPORT)
    assert results.read_counts(report) == Counts(passed=6, failed=2, skipped=2)


def test_why_a_test_was_skipped_is_read_too(tmp_path: Path):
    report = tmp_path / "junit.xml"
    report.write_text(
        '<testsuite tests="2" failures="0" errors="0" skipped="1">'
        '<testcase classname="vm.test_deploying" name="test_three">'
        '<skipped type="pytest.skip" message="it needs three devices">where</skipped></testcase>'
        '<testcase classname="vm.test_deploying" name="test_one"/></testsuite>'
    )
    counts = results.read_counts(report)
    assert counts is not None
    assert counts.reasons == {"vm.test_deploying.test_three": "it needs three devices"}


def test_which_tests_failed_is_told_with_the_first_line_of_what_they_said(tmp_path: Path):
    report = tmp_path / "junit.xml"
    report.write_text(
        '<testsuite tests="4" failures="1" errors="2" skipped="0">'
        '<testcase classname="unit.test_a" name="test_one"/>'
        '<testcase classname="unit.test_a" name="test_two">'
        '<failure message="AssertionError: 1 is not 2&#10;assert 1 == 2">trace</failure></testcase>'
        '<testcase classname="unit.test_a" name="test_three">'
        '<error message="failed on setup">trace</error></testcase>'
        '<testcase classname="unit.test_b" name="test_four"><error>trace</error></testcase>'
        "</testsuite>"
    )
    counts = results.read_counts(report)
    done = [Result("types", 1, 1), Result("unit", 1, 1, counts=counts), Result("e2e", 0, 1)]
    assert list(results.failures(done)) == [
        "unit: unit.test_a.test_two: AssertionError: 1 is not 2",
        "unit: unit.test_a.test_three: failed on setup",
        "unit: unit.test_b.test_four: ",
    ]


def test_a_suite_that_died_has_no_counts(tmp_path: Path):
    assert results.read_counts(tmp_path / "missing.xml") is None
    (tmp_path / "half.xml").write_text("<testsuites>")
    assert results.read_counts(tmp_path / "half.xml") is None


def test_the_table_names_each_suite_its_verdict_and_its_counts():
    console = Console(width=80)
    with console.capture() as capture:
        console.print(
            results.table(
                [
                    Result("unit", 0, 1.25, counts=Counts(passed=3, failed=0, skipped=1)),
                    Result("types", 1, 2),
                ]
            )
        )
    lines = [line.split() for line in capture.get().splitlines()]
    assert lines[1] == ["ok", "unit", "3", "passed,", "1", "skipped", "1.2"]
    assert lines[2] == ["FAILED", "types", "2.0"]
