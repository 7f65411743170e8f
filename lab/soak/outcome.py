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


def figures(outcomes: Sequence[Outcome]) -> list[Figure]:
    """Make the figures of a run: how soon each fault was over, and what was put and lost."""
    return [
        *(_back(fault, outcomes) for fault in Fault if any(o.fault is fault for o in outcomes)),
        Figure.of("slowest call of a session", [o.slowest for o in outcomes]),
        Figure.of("values put in a session", [o.writes for o in outcomes], unit=""),
        Figure.of("calls tried again in a session", [o.retries for o in outcomes], unit=""),
        Figure.of("sessions in which something was wrong", [_failed(outcomes)], unit="", aim=0),
    ]


def record(seed: int, outcomes: Sequence[Outcome]) -> Mapping[str, Any]:
    """Describe a run for `docs/evidence`, beside what all evidence says."""
    return {
        "seed": seed,
        "writes": sum(o.writes for o in outcomes),
        "retries": sum(o.retries for o in outcomes),
        "faults": {
            fault.value: {"sessions": len(found), "passed": sum(o.passed for o in found)}
            for fault in Fault
            if (found := [o for o in outcomes if o.fault is fault])
        },
        "problems": {str(o.number): list(o.problems) for o in outcomes if o.problems},
    }


def told(outcome: Outcome) -> str:
    """Say in a line or more how a session went."""
    head = f"session {outcome.number}, {outcome.fault.value}"
    if outcome.passed:
        return f"{head}: back after {outcome.back:.1f} s; {outcome.writes} values put"
    return "\n".join([f"{head}: FAILED", *(f"  {problem}" for problem in outcome.problems)])


def _back(fault: Fault, outcomes: Iterable[Outcome]) -> Figure:
    found = [o.back for o in outcomes if o.fault is fault]
    return Figure.of(f"{fault.value} ({len(found)})", found)


def _failed(outcomes: Iterable[Outcome]) -> int:
    return sum(not o.passed for o in outcomes)
