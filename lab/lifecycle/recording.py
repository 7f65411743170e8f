"""Writes down what an audience of `stages.reach` hears, for the timeline."""

import time
from collections.abc import Callable
from pathlib import Path

from fleet.scores.score import Outcome
from lab.lifecycle.stages import Audience, Done, Stage
from lab.timeline import events
from lab.timeline.events import Event


class Recording:
    """Passes everything on to *audience*, and writes what came of each score to *path*."""

    def __init__(
        self, audience: Audience, path: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self._audience = audience
        self._path = path
        self._clock = clock

    def begins(self, stage: Stage, score: str) -> None:
        """See `stages.Audience`."""
        self._audience.begins(stage, score)

    def sees(self, what: str) -> None:
        """See `stages.Audience`."""
        self._audience.sees(what)

    def ends(self, done: Done) -> None:
        """See `stages.Audience`."""
        events.append(self._path, _event(done, self._clock()))
        self._audience.ends(done)


def recorded(audience: Audience, logs: Path) -> Recording:
    """Return *audience*, with all that it hears written down beside the lab's logs."""
    return Recording(audience, logs / events.NAME)


def _event(done: Done, at: float) -> Event:
    return Event(
        at=at,
        stage=str(done.stage),
        score=done.outcome.score,
        lane=done.lane,
        seconds=done.seconds,
        change=str(done.outcome.change),
        why=_why(done.outcome),
    )


def _why(outcome: Outcome) -> str:
    return str(outcome.error) if outcome.error else "; ".join(outcome.details)
