"""
How long the event loop is busy at a stretch: nothing else happens in the process meanwhile.

Measured where the loop waits for I/O, so that it costs no wakeup, and no step is missed. The time
on the clock is what others wait; the processor time tells what of it is ours, and not that of a
machine with too much to do.
"""

import asyncio
import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LONG_SECONDS: Final = 0.1


@dataclass(slots=True)
class Steps:
    """The worst steps so far, in seconds, and how many were long."""

    worst: float = 0.0
    worst_cpu: float = 0.0
    long: int = 0

    def take(self, seconds: float, cpu_seconds: float) -> None:
        """Take note of one step."""
        self.worst = max(self.worst, seconds)
        self.worst_cpu = max(self.worst_cpu, cpu_seconds)
        self.long += seconds > LONG_SECONDS


class StepSelector(selectors.DefaultSelector):
    """A selector that times what its loop does between two waits."""

    def __init__(
        self,
        steps: Steps,
        now: Callable[[], float] = time.perf_counter,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        super().__init__()
        self._steps = steps
        self._now = now
        self._cpu = cpu
        self._began: tuple[float, float] | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as every selector does."""
        if self._began is not None:
            began, cpu_began = self._began
            self._steps.take(self._now() - began, self._cpu() - cpu_began)
        try:
            return super().select(timeout)
        finally:
            self._began = self._now(), self._cpu()


def loop_of(steps: Steps) -> Callable[[], asyncio.AbstractEventLoop]:
    """Make event loops whose steps are told to *steps*."""
    return lambda: asyncio.SelectorEventLoop(StepSelector(steps))
