"""
Work by key: each key is worked on by one worker at a time, and many keys at once.

Adding a key that waits already changes nothing; adding one that is being
worked on makes it come again. So work is level-triggered: it reads what is
true when it starts, and however many changes came before cost one pass.

What fails is tried again after a backoff, whatever it raised: a bug in the work
for one key is recorded, and no other key waits for it. Only what was refused
for good (`errors.PermanentError`) waits until the key is added again. A queue whose work
never waits gives way to others all the same: it works in time slices.

After a pass its key rests for a while. What is news cuts the rest short, and
the time that it saved is waited for later: a key's passes never come faster
than its pace, but for a few of them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import structlog

from fleet import errors
from fleet.operator.time_slice import TimeSlice
from fleet.supervision import containment
from fleet.supervision.failures import Failures

log = structlog.get_logger()
K = TypeVar("K")

# A bug meets the same input again: looked at no more often than a person would.
LONGEST_AFTER_BUG: Final = 60.0


class Watcher(Protocol):
    """Somebody who counts what work took and how it failed."""

    def worked(self, queue: str, seconds: float) -> None: ...
    def failed(self, queue: str, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """
    How fast a queue works.

    *spacing* is the least time between two passes over one key, but for *burst* passes
    with news; retries begin at *first_retry* and double up to *longest_retry*. All in seconds.
    """

    workers: int = 16
    spacing: float = 0.0
    burst: int = 0
    first_retry: float = 0.2
    longest_retry: float = 15.0

    def delay(self, failures: int, *, by_bug: bool = False) -> float:
        """Compute the pause after a pass."""
        if not failures:
            return self.spacing
        retry = self.first_retry * 2.0 ** min(failures - 1, 16)
        longest = LONGEST_AFTER_BUG if by_bug else self.longest_retry
        return max(self.spacing, min(retry, longest))


def _never(_: object) -> bool:
    return False


class WorkQueue(Generic[K]):
    """The keys that have to be looked at, and the workers that do. *is_news* must be cheap."""

    def __init__(
        self,
        name: str,
        work: Callable[[K], Awaitable[None]],
        pace: Pace,
        watcher: Watcher,
        is_news: Callable[[K], bool] = _never,
        *,
        time_slice: TimeSlice | None = None,
        failures: Failures | None = None,
    ) -> None:
        self.name = name
        self._work = work
        self._pace = pace
        self._watcher = watcher
        self._is_news = is_news
        self._slice = time_slice or TimeSlice()
        self._recorded = failures or Failures()
        self._waiting: asyncio.Queue[K] = asyncio.Queue()
        self._known: set[K] = set()  # waiting
        self._busy: set[K] = set()  # worked on, or resting after it
        self._again: set[K] = set()  # busy, and to come again
        self._failures: dict[K, int] = {}
        self._by_bug: set[K] = set()  # those of _failures that nobody foresaw
        self._rests: dict[K, asyncio.TimerHandle] = {}
        # When all passes so far, one per spacing, would have had their time.
        self._earned: dict[K, float] = {}

    def __len__(self) -> int:
        return len(self._known) + len(self._again)

    @property
    def is_busy(self) -> bool:
        """Whether somebody waits for work; what failed waits for its own backoff."""
        return bool(self._known) or any(key not in self._failures for key in self._again)

    def add(self, keys: Iterable[K]) -> None:
        """Have *keys* looked at."""
        for key in keys:
            if key in self._busy:
                self._again.add(key)
                self._hurry(key)
            elif key not in self._known:
                self._known.add(key)
                self._waiting.put_nowait(key)

    async def run(self) -> None:
        """Work for ever. Run again, it begins with what it was working on."""
        for key in self._busy - self._rests.keys():
            self._again.add(key)
            self._rested(key)
        async with asyncio.TaskGroup() as workers:
            for number in range(self._pace.workers):
                workers.create_task(self._worker(), name=f"{self.name} {number}")

    async def _worker(self) -> None:
        while True:
            key = await self._waiting.get()
            self._known.discard(key)
            self._busy.add(key)
            await self._attempt(key)
            self._rest(key)
            await self._slice.give_way()

    async def _attempt(self, key: K) -> None:
        started = time.monotonic()
        try:
            await self._work(key)
        except errors.RetryableError as exc:
            self._retry(key)
            self._complain(key, exc, "warning" if self._failures[key] == 1 else "debug")
        except errors.FleetError as exc:
            self._succeeded(key)
            self._complain(key, exc, "error")
        except BaseException as exc:
            if containment.must_end(exc):
                raise
            self._retry(key)
            self._by_bug.add(key)
            self._recorded.failed(self.name, key, exc, self._failures[key])
            self._watcher.failed(self.name, errors.InternalError.reason)
        else:
            self._succeeded(key)
        self._watcher.worked(self.name, time.monotonic() - started)

    def _retry(self, key: K) -> None:
        self._failures[key] = self._failures.get(key, 0) + 1
        self._again.add(key)

    def _succeeded(self, key: K) -> None:
        if self._failures.pop(key, None) and key in self._by_bug:
            self._by_bug.discard(key)
            self._recorded.recovered(self.name, key)

    def _complain(self, key: K, error: errors.FleetError, level: str) -> None:
        self._watcher.failed(self.name, error.reason)
        quiet = isinstance(error, errors.RevisionConflict)
        getattr(log, "debug" if quiet else level)(
            "work failed", queue=self.name, key=key, reason=error.reason, error=str(error)
        )

    def _rest(self, key: K) -> None:
        delay = self._pace.delay(self._failures.get(key, 0), by_bug=key in self._by_bug)
        if not delay:
            self._rested(key)
            return
        now = asyncio.get_running_loop().time()
        self._earned[key] = max(self._earned.get(key, now), now) + self._pace.spacing
        self._rest_until(key, max(now + delay, self._soonest(key)))
        if key in self._again:
            self._hurry(key)

    def _hurry(self, key: K) -> None:
        """Cut the rest of *key* short, if it has news. A failure's rest stays as it is."""
        rest = self._rests.get(key)
        if rest is None or key in self._failures or not self._has_news(key):
            return
        if self._soonest(key) < rest.when():
            rest.cancel()
            self._rest_until(key, self._soonest(key))

    def _has_news(self, key: K) -> bool:
        """Ask; where that fails, the pass is to find out why."""
        with self._recorded.contained(self.name, key):
            return self._is_news(key)
        return True

    def _soonest(self, key: K) -> float:
        """Give the time of the next pass if it has news."""
        return self._earned[key] - self._pace.burst * self._pace.spacing

    def _rest_until(self, key: K, time: float) -> None:
        loop = asyncio.get_running_loop()
        self._rests[key] = loop.call_at(time, self._rested, key)

    def _rested(self, key: K) -> None:
        self._busy.discard(key)
        self._rests.pop(key, None)
        if key in self._again:
            self._again.discard(key)
            self.add((key,))
        elif self._earned.get(key, 0.0) <= asyncio.get_running_loop().time():
            self._earned.pop(key, None)
