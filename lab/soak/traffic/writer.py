"""The load: values put under numbers that only grow, each tried again until it is accepted."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, cycle

from fleet import errors
from lab.soak.judgement.verdict import Written
from lab.soak.traffic.writing import Writing

EVERY_SECONDS = 0.03
RETRY_SECONDS = 0.05
HANGS_AFTER = 30.0


@dataclass(slots=True)
class Log:
    """
    How writing went for a while.

    *slowest* is the longest that one call took, whatever came of it; *wrong* what was raised that
    the port doesn't promise.
    """

    writes: int = 0
    retries: int = 0
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Writer:
    """Writes to *keys* in turn, one call at a time, until it is stopped."""

    def __init__(self, writing: Writing, keys: tuple[str, ...], numbers: "count[int]") -> None:
        self.accepted: dict[str, Written] = {}
        self._writing = writing
        self._keys: Iterator[str] = cycle(keys)
        self._numbers = numbers
        self._log = Log()
        self._stopping = asyncio.Event()
        self._begun = self._done = 0
        self._progress = asyncio.Condition()

    async def run(self) -> None:
        """Write until told to stop; the value at hand is seen through."""
        self._stopping.clear()
        self._begun = self._done = 0
        while not self._stopping.is_set():
            self._begun += 1
            await self._see_through(next(self._keys), next(self._numbers))
            self._done += 1
            async with self._progress:
                self._progress.notify_all()
            await self._rest()

    def stop(self) -> None:
        """End after the value at hand."""
        self._stopping.set()

    async def gets_through(self) -> None:
        """Wait until a value is accepted that was begun after this call."""
        begun = self._begun
        async with self._progress:
            await self._progress.wait_for(lambda: self._done > begun)

    def take_log(self) -> Log:
        """Return the log so far, and begin another."""
        log, self._log = self._log, Log()
        return log

    async def _see_through(self, key: str, number: int) -> None:
        while not await self._write(key, number):
            self._log.retries += 1
            await asyncio.sleep(RETRY_SECONDS)

    async def _write(self, key: str, number: int) -> bool:
        loop = asyncio.get_running_loop()
        since = loop.time()
        try:
            async with asyncio.timeout(HANGS_AFTER):
                self.accepted[key] = await self._writing.write(key, number)
        except (errors.BusUnavailable, errors.RevisionConflict):
            return False
        except TimeoutError:
            self._log.wrong.append(f"a write of {key} took longer than {HANGS_AFTER:g} s")
            return False
        except Exception as exc:
            self._log.wrong.append(f"a write of {key} raised {exc!r}")
            return False
        finally:
            self._log.slowest = max(self._log.slowest, loop.time() - since)
        self._log.writes += 1
        return True

    async def _rest(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EVERY_SECONDS):
                await self._stopping.wait()
