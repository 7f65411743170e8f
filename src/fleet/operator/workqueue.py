"""
Work by key: each key is worked on by one worker at a time, and many keys at once.

Adding a key that waits already changes nothing; adding one that is being
worked on makes it come again. So work is level-triggered: it reads what is
true when it starts, and however many changes came before cost one pass.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import structlog

from fleet import errors

log = structlog.get_logger()
K = TypeVar("K")


class Watcher(Protocol):
    """Somebody who counts what work took and how it failed."""

    def worked(self, queue: str, seconds: float) -> None: ...
    def failed(self, queue: str, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """
    How fast a queue works.

    *spacing* is the least time between two passes over one key; retries begin
    at *first_retry* and double up to *longest_retry*. All in seconds.
    """

    workers: int = 16
    spacing: float = 0.0
    first_retry: float = 0.2
    longest_retry: float = 15.0

    def delay(self, failures: int) -> float:
        """Compute the pause after a pass."""
        if not failures:
            return self.spacing
        retry = self.first_retry * 2.0 ** min(failures - 1, 16)
        return max(self.spacing, min(retry, self.longest_retry))


class Workqueue(Generic[K]):
    """The keys that have to be looked at, and the workers that do."""

    def __init__(
        self, name: str, work: Callable[[K], Awaitable[None]], pace: Pace, watcher: Watcher
    ) -> None:
        self.name = name
        self._work = work
        self._pace = pace
        self._watcher = watcher
        self._waiting: asyncio.Queue[K] = asyncio.Queue()
        self._known: set[K] = set()  # waiting
        self._busy: set[K] = set()  # worked on, or resting after it
        self._again: set[K] = set()  # busy, and to come again
        self._failures: dict[K, int] = {}

    def __len__(self) -> int:
        return len(self._known) + len(self._again)

    def add(self, keys: Iterable[K]) -> None:
        """Have *keys* looked at."""
        for key in keys:
            if key in self._busy:
                self._again.add(key)
            elif key not in self._known:
                self._known.add(key)
                self._waiting.put_nowait(key)

    async def run(self) -> None:
        """Work for ever."""
        async with asyncio.TaskGroup() as workers:
            for number in range(self._pace.workers):
                workers.create_task(self._worker(), name=f"{self.name} {number}")

    async def _worker(self) -> None:
        while True:
            key = await self._waiting.get()
            self._known.discard(key)
            self._busy.add(key)
            await self._attempt(key)
            delay = self._pace.delay(self._failures.get(key, 0))
            if delay:
                asyncio.get_running_loop().call_later(delay, self._rested, key)
            else:
                self._rested(key)

    async def _attempt(self, key: K) -> None:
        started = time.monotonic()
        try:
            await self._work(key)
        except errors.RetryableError as exc:
            self._failures[key] = self._failures.get(key, 0) + 1
            self._again.add(key)
            self._complain(key, exc, "warning" if self._failures[key] == 1 else "debug")
        except errors.FleetError as exc:
            self._failures.pop(key, None)
            self._complain(key, exc, "error")
        else:
            self._failures.pop(key, None)
        self._watcher.worked(self.name, time.monotonic() - started)

    def _complain(self, key: K, error: errors.FleetError, level: str) -> None:
        self._watcher.failed(self.name, error.reason)
        quiet = isinstance(error, errors.RevisionConflict)
        getattr(log, "debug" if quiet else level)(
            "work failed", queue=self.name, key=key, reason=error.reason, error=str(error)
        )

    def _rested(self, key: K) -> None:
        self._busy.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add((key,))
