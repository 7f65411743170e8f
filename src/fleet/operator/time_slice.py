"""
Time slices: long work on the event loop gives way to whatever else waits.

Nothing else does that for it: taking from a filled queue doesn't suspend, and a loop over
ten thousand objects doesn't either.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final, TypeVar

T = TypeVar("T")

SLICE_SECONDS: Final = 0.01


class TimeSlice:
    """The share of the loop that all long work has together, until the others had their turn."""

    def __init__(
        self, seconds: float = SLICE_SECONDS, now: Callable[[], float] = time.perf_counter
    ) -> None:
        self._seconds = seconds
        self._now = now
        self._ends = float("-inf")
        self._renewing = False

    async def give_way(self) -> None:
        """Let the others have their turn, if the slice is used up."""
        if self._now() < self._ends:
            return
        if not self._renewing:  # one for each turn of the loop, however many work
            self._renewing = True
            asyncio.get_running_loop().call_soon(self._renew)
        await asyncio.sleep(0)

    def _renew(self) -> None:
        self._renewing = False
        self._ends = self._now() + self._seconds

    async def over(self, items: Iterable[T]) -> AsyncIterator[T]:
        """Go through *items*, and give way on the way. They mustn't be changed meanwhile."""
        for item in items:
            yield item
            await self.give_way()
