"""Runs a schedule: several lanes side by side, each taking the next session that it can break."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from lab.soak import lane as lanes
from lab.soak import sites
from lab.soak.lane import Limits
from lab.soak.outcome import Outcome
from lab.soak.schedule import Break

Tell = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class Layout:
    """How many lanes run side by side: with one server each, and with a cluster each."""

    single: int = 6
    clustered: int = 2
    limits: Limits = field(default_factory=Limits)


async def run(
    breaks: Iterable[Break], directory: Path, layout: Layout, tell: Tell
) -> tuple[Outcome, ...]:
    """Break each session of *breaks*, and return what came of them, by number."""
    waiting = {False: deque[Break](), True: deque[Break]()}
    for each in breaks:
        waiting[each.needs_cluster].append(each)
    outcomes: list[Outcome] = []

    def note(outcome: Outcome) -> None:
        outcomes.append(outcome)
        tell(outcome)

    async with asyncio.TaskGroup() as tasks:
        for number in range(layout.single + layout.clustered):
            is_clustered = number >= layout.single
            size = sites.CLUSTER if is_clustered else 1
            lane = _Lane(directory / f"lane-{number}", number, size, layout.limits)
            tasks.create_task(lane.run(waiting[is_clustered], note))
    return tuple(sorted(outcomes, key=lambda outcome: outcome.number))


@dataclass(frozen=True, slots=True)
class _Lane:
    """A lane that is built anew after a session that failed: what it left is no one's fault."""

    directory: Path
    number: int
    size: int
    limits: Limits

    async def run(self, waiting: deque[Break], note: Tell) -> None:
        while waiting:
            directory = self.directory / f"from-{waiting[0].number}"
            async with lanes.opened(directory, self.number, self.size, self.limits) as lane:
                while waiting:
                    outcome = await lane.outcome(waiting.popleft())
                    note(outcome)
                    if not outcome.passed:
                        break
