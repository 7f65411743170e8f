"""What came of each test of a run, as the reports of its phases tell. Small: every run has it."""

from dataclasses import dataclass, field

import pytest

_RANK = ("passed", "skipped", "xfailed", "xpassed", "failed", "error")


@dataclass(slots=True)
class Result:
    """One test: where and when it ran, and what came of it."""

    test: str
    worker: str
    begun: float
    ended: float
    outcome: str = "passed"
    why: str = ""
    sections: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Results:
    """The tests of a run that began at *begun*, by the clock of day."""

    begun: float
    tests: dict[str, Result] = field(default_factory=dict)

    def add(self, report: pytest.TestReport) -> None:
        """Note one phase of a test: the worst of them is what came of it."""
        worker = getattr(report, "worker_id", "main")
        known = self.tests.setdefault(
            report.nodeid, Result(report.nodeid, worker, report.start, report.stop)
        )
        known.begun, known.ended = min(known.begun, report.start), max(known.ended, report.stop)
        outcome = _outcome(report)
        if _RANK.index(outcome) > _RANK.index(known.outcome):
            known.outcome, known.why = outcome, report.longreprtext
            known.sections = tuple(report.sections) if report.failed else ()


def _outcome(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.failed and report.when != "call":
        return "error"
    return report.outcome
