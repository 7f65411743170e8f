"""What came of each session, and of all of them: values, laid out for people and for the record."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.bench.results import Figure
from lab.soak.schedule import Fault


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    How the session *number* went.

    *back* is how many seconds after the end of its fault both buses got a value through, *slowest*
    the longest that any call took, *attempts* how many connections were begun meanwhile. Without
    *problems* everything that was put has arrived.
    """

    number: int
    fault: Fault
    back: float
    writes: int
    retries: int
    slowest: float
    attempts: int
    problems: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class Run:
    """All sessions of one run, by number; *strays* are errors of tasks that nobody looked after."""

    seed: int
    outcomes: tuple[Outcome, ...]
    strays: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The sessions in which something was wrong."""
        return tuple(outcome for outcome in self.outcomes if not outcome.passed)

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong at all."""
        return not self.failed and not self.strays


def figures(run: Run) -> list[Figure]:
    """Make the figures of a run: how soon each fault was over, and what a session was like."""
    outcomes = run.outcomes
    return [
        *(_back(fault, found) for fault, found in _by_fault(outcomes).items()),
        Figure.of("slowest call", [o.slowest for o in outcomes]),
        Figure.of("values put", [o.writes for o in outcomes], unit=""),
        Figure.of("calls tried again", [o.retries for o in outcomes], unit=""),
        Figure.of("sessions that failed", [len(run.failed)], unit="", aim=0),
        Figure.of("stray errors", [len(run.strays)], unit="", aim=0),
    ]


def record(run: Run) -> Mapping[str, Any]:
    """Describe a run for `docs/evidence`, beside what all evidence says."""
    return {
        "seed": run.seed,
        "values_put": sum(o.writes for o in run.outcomes),
        "calls_tried_again": sum(o.retries for o in run.outcomes),
        "faults": {
            fault.value: {"sessions": len(found), "passed": sum(o.passed for o in found)}
            for fault, found in _by_fault(run.outcomes).items()
        },
        "problems": {str(o.number): list(o.problems) for o in run.failed},
        "strays": list(run.strays),
    }


def told(outcome: Outcome) -> str:
    """Say in a line or more how a session went."""
    head = f"session {outcome.number}, {outcome.fault.value}"
    if outcome.passed:
        return f"{head}: back after {outcome.back:.1f} s; {outcome.writes} values put"
    return "\n".join([f"{head}: FAILED", *(f"  {problem}" for problem in outcome.problems)])


def _by_fault(outcomes: Sequence[Outcome]) -> Mapping[Fault, list[Outcome]]:
    by_fault = {fault: [o for o in outcomes if o.fault is fault] for fault in Fault}
    return {fault: found for fault, found in by_fault.items() if found}


def _back(fault: Fault, found: Iterable[Outcome]) -> Figure:
    seconds = [outcome.back for outcome in found]
    return Figure.of(f"{fault.value} ({len(seconds)})", seconds)
