"""
A score: the frozen description of a wanted state, and what came of wanting it.

A score compares before it acts, and acts on the difference alone, so that
interpreting it twice does nothing the second time. What it acts *with* is a
topology: its type parameter names the capabilities (`fleet.scores.capabilities`)
that it needs, so a score type-checks only where the topology has them.

    class HostsFileScore(Score[HasFiles]): ...

    HostsFileScore(lines=("10.213.0.1 registry",)).interpret(topology)
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

import structlog

from fleet import errors

T_contra = TypeVar("T_contra", contravariant=True)

log = structlog.get_logger(__name__)


class Change(StrEnum):
    """What interpreting a score did or, in a dry run, would do."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a score. *details* are the differences found, in words."""

    score: str
    change: Change
    details: tuple[str, ...] = ()
    error: errors.FleetError | None = None

    def expect(self) -> "Outcome":
        """
        Return the outcome itself, where the score did not fail.

        :raises errors.FleetError: the error that it failed with.
        """
        if self.error is not None:
            raise self.error
        return self


class Score(ABC, Generic[T_contra]):
    """A wanted state. Frozen dataclasses derive from it."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name the wanted thing, as progress shows it: ``bridge flab0``."""

    @abstractmethod
    def differences(self, topology: T_contra) -> tuple[str, ...]:
        """Tell in words what isn't as wanted; nothing when all is. Reads only."""

    @abstractmethod
    def bring_about(self, topology: T_contra) -> None:
        """Make the world as wanted. Does no harm where it already is, in part or whole."""

    def interpret(self, topology: T_contra, *, dry_run: bool = False) -> Outcome:
        """
        Compare, act on a difference, and tell. With *dry_run*, only tell.

        Never raises a `errors.FleetError`: it comes back in the outcome.
        """
        details: tuple[str, ...] = ()
        try:
            details = self.differences(topology)
            if details and not dry_run:
                self.bring_about(topology)
        except errors.FleetError as exc:
            log.warning("score failed", score=self.name, reason=exc.reason, error=str(exc))
            return Outcome(self.name, Change.FAILED, details, exc)
        if not details:
            return Outcome(self.name, Change.UNCHANGED)
        if not dry_run:
            log.info("score brought about", score=self.name, differences=details)
        return Outcome(self.name, Change.CHANGED, details)


def interpret_all(
    scores: Iterable[Score[T_contra]], topology: T_contra, *, dry_run: bool = False
) -> tuple[Outcome, ...]:
    """
    Interpret *scores* in order, and stop at the first that fails: later ones build on earlier.

    A dry run goes on to the end, since nothing it would have built is there anyway.
    """
    outcomes: list[Outcome] = []
    for score in scores:
        outcomes.append(score.interpret(topology, dry_run=dry_run))
        if outcomes[-1].change is Change.FAILED and not dry_run:
            break
    return tuple(outcomes)
