"""What came of each test of a run, as the reports of its phases tell. Small: every run has it."""

import time
from collections.abc import Callable
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
    clock: Callable[[], float] = time.time

    def add(self, report: pytest.TestReport) -> None:
        """Note one phase of a test: the worst of them is what came of it."""
        stop = report.stop or self.clock()  # pytest-xdist has no times for a worker that crashed
        start = report.start or stop
        known = self.tests.setdefault(
            report.nodeid, Result(report.nodeid, _worker(report), start, stop)
        )
        known.begun, known.ended = min(known.begun, start), max(known.ended, stop)
        outcome = _outcome(report)
        if _RANK.index(outcome) > _RANK.index(known.outcome):
            known.outcome, known.why = outcome, report.longreprtext
            known.sections = tuple(report.sections) if report.failed else ()


def _worker(report: pytest.TestReport) -> str:
    """Return who ran the test; of a worker that crashed, only its controller tells."""
    gateway = getattr(getattr(report, "node", None), "gateway", None)
    return str(getattr(report, "worker_id", None) or getattr(gateway, "id", "main"))


def _outcome(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.failed and report.when != "call":
        return "error"
    return report.outcome if report.outcome in _RANK else "passed"  # other plugins have others
