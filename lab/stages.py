"""
How far a lab is up: stages in order, each a list of scores with a budget.

`reach` brings stage after stage about and stops at the first failure: later ones build on earlier.
"""

import enum
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from fleet.scores.score import Change, Outcome, Score
from lab.host import LabHost


class Stage(enum.StrEnum):
    """What `lab.status` calls the stages."""

    DOWN = "down"
    NETWORK = "network"
    CONTROL_PLANE = "control-plane"
    BROKER = "broker"
    REGISTRY = "registry"
    OPERATOR = "operator"
    DEVICES = "devices"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Plan:
    """What makes *stage*, and how many seconds all of it may take."""

    stage: Stage
    scores: tuple[Score[LabHost], ...]
    budget: float


@dataclass(frozen=True, slots=True)
class Done:
    """What came of one score, and how long it took."""

    stage: Stage
    outcome: Outcome
    seconds: float


class Audience(Protocol):
    """Whoever watches a lab come up."""

    def begins(self, stage: Stage, score: str) -> None:
        """Hear that *score* is being compared, and acted on."""

    def sees(self, what: str) -> None:
        """Hear what the wait in progress last saw."""

    def ends(self, done: Done) -> None:
        """Hear what came of the score."""


def reach(
    plans: Sequence[Plan],
    host: LabHost,
    audience: Audience,
    *,
    dry_run: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Done, ...]:
    """Bring *plans* about in order, and return what came of each score up to the first failure."""
    done: list[Done] = []
    for plan in plans:
        within = replace(host, saw=audience.sees, deadline=clock() + plan.budget)
        for score in plan.scores:
            audience.begins(plan.stage, score.name)
            begun = clock()
            outcome = score.interpret(within, dry_run=dry_run)
            done.append(Done(plan.stage, outcome, clock() - begun))
            audience.ends(done[-1])
            if outcome.change is Change.FAILED and not dry_run:
                return tuple(done)
    return tuple(done)


def reached(plans: Sequence[Plan], done: Sequence[Done]) -> Stage:
    """Return the last stage that is whole, and all before it, by what a dry run found."""
    last = Stage.DOWN
    for plan in plans:
        found = [entry.outcome for entry in done if entry.stage is plan.stage]
        if any(outcome.change is not Change.UNCHANGED for outcome in found):
            break
        last = plan.stage
    # The network is no stage of the contract: alone it is as good as nothing.
    return Stage.DOWN if last is Stage.NETWORK else last
