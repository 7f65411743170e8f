"""
How far a lab is up: stages in order, each a list of scores with a budget, then lanes of scores.

`reach` brings stage after stage about and stops at the first failure: later ones build on earlier.
Lanes (a device each) know nothing of one another, so they come side by side, and one that fails
stops no other.
"""

import enum
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from fleet.scores.score import Change, Outcome, Score
from lab.errors import LabError
from lab.host.lab_host import LabHost

log = structlog.get_logger(__name__)

LANES_AT_ONCE = 2 * (os.cpu_count() or 1)  # half of what a lane does is waiting


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
    lanes: Mapping[str, tuple[Score[LabHost], ...]] = field(default_factory=dict)
    """what comes after *scores*, side by side, by the name of each lane"""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of one score, in which lane if in any, and how long it took."""

    stage: Stage
    outcome: Outcome
    seconds: float
    lane: str = ""

    @property
    def name(self) -> str:
        """Name the score, and the lane where the score doesn't."""
        return _title(self.lane, self.outcome.score)

    @property
    def failed(self) -> bool:
        """Tell whether the score failed."""
        return self.outcome.change is Change.FAILED


class Audience(Protocol):
    """Whoever watches a lab come up. It hears one thing at a time."""

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
    walk = _Walk(host, audience, dry_run, clock)
    done: list[Done] = []
    for plan in plans:
        deadline = clock() + plan.budget
        for step in (walk.lane, walk.lanes):
            done += step(plan, deadline)
            if not dry_run and any(entry.failed for entry in done):
                return tuple(done)
    return tuple(done)


@dataclass(frozen=True)
class _Walk:
    """One walk through the stages, with all that its lanes share."""

    host: LabHost
    audience: Audience
    dry_run: bool
    clock: Callable[[], float]
    speaking: threading.Lock = field(default_factory=threading.Lock)

    def lanes(self, plan: Plan, deadline: float) -> tuple[Done, ...]:
        """Go through all lanes of *plan* side by side; the outcomes stay in the lanes' order."""
        with ThreadPoolExecutor(LANES_AT_ONCE, "lane") as pool:
            try:
                found = [pool.submit(self.lane, plan, deadline, name) for name in plan.lanes]
                return tuple(done for lane in found for done in lane.result())
            except BaseException:  # interrupted: what wasn't begun never is
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def lane(self, plan: Plan, deadline: float, lane: str = "") -> tuple[Done, ...]:
        """Go through the scores of one lane, or those before all lanes, up to the first failure."""
        here = replace(self.host, saw=self._hearer(lane), deadline=deadline, lane=lane)
        done: list[Done] = []
        for score in plan.lanes[lane] if lane else plan.scores:
            with self.speaking:
                self.audience.begins(plan.stage, _title(lane, score.name))
            begun = self.clock()
            outcome = self._interpret(score, here)
            done.append(Done(plan.stage, outcome, self.clock() - begun, lane))
            with self.speaking:
                self.audience.ends(done[-1])
            if done[-1].failed and not self.dry_run:
                break
        return tuple(done)

    def _interpret(self, score: Score[LabHost], here: LabHost) -> Outcome:
        """Interpret *score*; in a lane, what nobody foresaw is that lane's failure alone."""
        try:
            return score.interpret(here, dry_run=self.dry_run)
        except Exception as exc:
            if not here.lane:
                raise
            log.exception("score failed", score=score.name, lane=here.lane)
            error = LabError(f"{type(exc).__name__}: {exc}", element=here.lane)
            error.__cause__ = exc
            return Outcome(score.name, Change.FAILED, (), error)

    def _hearer(self, lane: str) -> Callable[[str], None]:
        def hear(what: str) -> None:
            with self.speaking:
                self.audience.sees(f"{lane}: {what}" if lane else what)

        return hear


def _title(lane: str, score: str) -> str:
    return score if score.endswith(lane) else f"{lane}: {score}"


def reached(plans: Sequence[Plan], done: Sequence[Done], *, runs: bool = False) -> Stage:
    """
    Return the last stage that is whole, and all before it, by what a dry run found.

    A lab of which anything *runs* isn't down, whatever it lacks.
    """
    last = Stage.DOWN
    for plan in plans:
        found = [entry.outcome for entry in done if entry.stage is plan.stage]
        if any(outcome.change is not Change.UNCHANGED for outcome in found):
            break
        last = plan.stage
    if last not in {Stage.DOWN, Stage.NETWORK}:
        return last
    # The network alone is as good as nothing.
    return Stage.NETWORK if runs else Stage.DOWN
