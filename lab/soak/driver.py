"""Runs a schedule: several lanes side by side, each taking the next session that it can break."""

import asyncio
import gc
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.soak import lane as lanes
from lab.soak.hub import site as sites
from lab.soak.hub.site import Ports, Shape
from lab.soak.lane import Limits
from lab.soak.outcome import Outcome, Run
from lab.soak.schedule import Break

Tell = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class Layout:
    """
    How many lanes run side by side, in clear and encrypted each.

    *single* have a server of their own, *clustered* three.
    """

    single: int = 5
    clustered: int = 2
    limits: Limits = field(default_factory=Limits)

    def shapes(self) -> tuple[Shape, ...]:
        """List the site of each lane."""
        sizes = [1] * self.single + [sites.CLUSTER] * self.clustered
        return tuple(Shape(size, is_encrypted) for size in sizes for is_encrypted in (False, True))


async def run(
    seed: int, breaks: Iterable[Break], directory: Path, layout: Layout, tell: Tell
) -> Run:
    """Break each session of *breaks*, and return what came of them."""
    outcomes: list[Outcome] = []

    def note(outcome: Outcome) -> None:
        outcomes.append(outcome)
        tell(outcome)

    waiting, given = _queues(breaks), Ports()
    with _noting_strays() as strays:
        async with asyncio.TaskGroup() as tasks:
            for number, shape in enumerate(layout.shapes()):
                lane = _Lane(directory / f"lane-{number}", number, shape, given, layout.limits)
                tasks.create_task(lane.run(waiting[shape], note))
    ordered = sorted(outcomes, key=lambda outcome: outcome.number)
    return Run(seed, tuple(ordered), tuple(strays))


def _queues(breaks: Iterable[Break]) -> Mapping[Shape, deque[Break]]:
    """Sort the breaks by the site that each takes."""
    queues: dict[Shape, deque[Break]] = defaultdict(deque)
    for each in breaks:
        size = sites.CLUSTER if each.needs_cluster else 1
        queues[Shape(size, each.is_encrypted)].append(each)
    return queues


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
    shape: Shape
    given: Ports
    limits: Limits

    async def run(self, waiting: deque[Break], note: Tell) -> None:
        while waiting:
            directory = self.directory / f"from-{waiting[0].number}"
            opened = lanes.opened(directory, self.number, self.shape, self.given, self.limits)
            async with opened as lane:
                while waiting:
                    outcome = await lane.outcome(waiting.popleft())
                    note(outcome)
                    if not outcome.passed:
                        break
