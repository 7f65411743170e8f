"""Reads how a suite went: its exit status, its time, and the counts in its JUnit report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

from rich.table import Table

_COUNTED = ("tests", "failures", "errors", "skipped")


@dataclass(frozen=True, slots=True)
class Counts:
    """
    How many tests a suite ran, by how they ended.

    *reasons* tell why which test was skipped, *failures* what each failed one said, in a line.
    """

    passed: int
    failed: int
    skipped: int
    reasons: Mapping[str, str] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        words = ((self.passed, "passed"), (self.failed, "failed"), (self.skipped, "skipped"))
        return ", ".join(f"{count} {word}" for count, word in words if count)


@dataclass(frozen=True, slots=True)
class Result:
    """How one check or suite went. *output* is empty when it was shown as it came."""

    name: str
    status: int
    seconds: float
    output: str = ""
    counts: Counts | None = None

    @property
    def passed(self) -> bool:
        return self.status == 0


def read_counts(report: Path) -> Counts | None:
    """Sum up a JUnit report; None when the suite died before it wrote one."""
    try:
        root = ET.parse(report).getroot()  # noqa: S314 - our own pytest wrote it
    except (OSError, ET.ParseError):
        return None
    suites = list(root.iter("testsuite"))
    tests, failures, errors, skipped = (
        sum(int(suite.get(name, "0")) for suite in suites) for name in _COUNTED
    )
    failed = failures + errors
    return Counts(
        passed=tests - failed - skipped,
        failed=failed,
        skipped=skipped,
        reasons=dict(_ended(root, "skipped")),
        failures={**dict(_ended(root, "failure")), **dict(_ended(root, "error"))},
    )


def _ended(root: ET.Element, how: str) -> Iterator[tuple[str, str]]:
    for case in root.iter("testcase"):
        end = case.find(how)
        if end is not None:
            said = end.get("message", "").strip().partition("\n")[0]
            yield f"{case.get('classname')}.{case.get('name')}", said


def table(results: Sequence[Result]) -> Table:
    """Lay the results out for people."""
    rows = Table(box=None, pad_edge=False)
    for heading in ("", "suite", "tests"):
        rows.add_column(heading)
    rows.add_column("seconds", justify="right")
    for result in results:
        mark = "[green]ok[/]" if result.passed else "[red]FAILED[/]"
        rows.add_row(mark, result.name, str(result.counts or ""), f"{result.seconds:.1f}")
    return rows


def failures(results: Sequence[Result]) -> Iterator[str]:
    """Name each test that failed, with what it said, a line each, in the order of *results*."""
    for result in results:
        if result.counts is not None:
            for test, said in result.counts.failures.items():
                yield f"{result.name}: {test}: {said}"
