"""Runs a schedule: several lanes side by side, each taking the next session that it can break."""

import asyncio
import gc
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.soak import lane as lanes
from lab.soak import sites
from lab.soak.lane import Limits
from lab.soak.outcome import Outcome, Run
from lab.soak.schedule import Break

Tell = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class Layout:
    """How many lanes run side by side: with one server each, and with a cluster each."""

    single: int = 6
    clustered: int = 2
    limits: Limits = field(default_factory=Limits)


async def run(
    seed: int, breaks: Iterable[Break], directory: Path, layout: Layout, tell: Tell
) -> Run:
    """Break each session of *breaks*, and return what came of them."""
    outcomes: list[Outcome] = []

    def note(outcome: Outcome) -> None:
        outcomes.append(outcome)
        tell(outcome)

    waiting = {False: deque[Break](), True: deque[Break]()}
    for each in breaks:
        waiting[each.needs_cluster].append(each)
    with _noting_strays() as strays:
        async with asyncio.TaskGroup() as tasks:
            for lane in _lanes(directory, layout):
                tasks.create_task(lane.run(waiting[lane.size > 1], note))
    ordered = sorted(outcomes, key=lambda outcome: outcome.number)
    return Run(seed, tuple(ordered), tuple(strays))


def _lanes(directory: Path, layout: Layout) -> Iterator["_Lane"]:
    sizes = [1] * layout.single + [sites.CLUSTER] * layout.clustered
    for number, size in enumerate(sizes):
        yield _Lane(directory / f"lane-{number}", number, size, layout.limits)


@contextmanager
def _noting_strays() -> Iterator[list[str]]:
    """Note what asyncio finds in tasks and callbacks that nobody waits for."""
    loop, strays = asyncio.get_running_loop(), list[str]()
    earlier = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: strays.append(_said(context)))
    try:
        yield strays
        gc.collect()  # which is when a task's error turns out to be nobody's
    finally:
        loop.set_exception_handler(earlier)


def _said(context: Mapping[str, Any]) -> str:
    where = context.get("task") or context.get("future") or context.get("handle") or ""
    return f"{context['message']}: {context.get('exception')!r} {where}"


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
