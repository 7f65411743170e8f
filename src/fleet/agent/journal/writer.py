"""
Writes the journal's files one after the other, beside whatever else goes on.

What can't be written is a problem of the device, and tried again.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import TypeAlias

from fleet import errors
from fleet.agent.journal.store import Store
from fleet.agent.model import backoff
from fleet.agent.model.problems import Problems
from fleet.contracts.names import DeploymentName
from fleet.supervision.failures import Failures

PART = "journal"

# A disk that takes longer than this isn't waited for.
_PATIENCE_SECONDS = 5.0

_File: TypeAlias = tuple[Store, DeploymentName]


class Writer:
    """What is to stand in the files of some stores. `run` does the writing."""

    def __init__(self, problems: Problems, random: backoff.Random, failures: Failures) -> None:
        self._problems = problems
        self._random = random
        self._failures = failures
        self._stored: dict[_File, bytes] = {}
        self._untried: dict[_File, bytes | None] = {}
        self._unwritten: dict[_File, bytes | None] = {}
        self._changed = asyncio.Event()
        self._tried = asyncio.Event()

    def found(self, store: Store, deployment: DeploymentName, content: bytes) -> None:
        """Take note of what stands in a file."""
        self._stored[store, deployment] = content

    def write_soon(self, store: Store, deployment: DeploymentName, content: bytes | None) -> None:
        """Have *content* written, unless it stands there already; None removes the file."""
        file = (store, deployment)
        if content == self._latest(file):
            return
        self._untried[file] = content
        self._changed.set()

    def is_settled(self, deployment: DeploymentName) -> bool:
        """Tell whether the files of *deployment* are written, or could not be."""
        return not any(of == deployment for _, of in self._untried)

    async def settled(self, deployment: DeploymentName) -> None:
        """Wait until it `is_settled`, or takes too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while not self.is_settled(deployment):
                    await self._tried.wait()

    async def run(self) -> None:
        """Write whatever changes, until cancelled."""
        failures = 0
        while True:
            await self._wait_for_work(failures)
            self._changed.clear()
            error = await self._write({**self._unwritten, **self._untried})
            tried, self._tried = self._tried, asyncio.Event()
            tried.set()
            if error is None:
                failures = 0
                self._problems.clear(errors.JournalUnavailable.reason)
            else:
                failures += 1
                self._problems.set(error.reason, str(error))

    def _latest(self, file: _File) -> bytes | None:
        for known in (self._untried, self._unwritten, self._stored):
            if file in known:
                return known[file]
        return None

    async def _wait_for_work(self, failures: int) -> None:
        """Wait for a change; where something failed, no longer than until its next try."""
        delay = backoff.RETRYABLE.delay(failures, self._random) if failures else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._changed.wait()

    async def _write(self, batch: Mapping[_File, bytes | None]) -> errors.JournalUnavailable | None:
        """Try each. One that fails is no reason not to try the next."""
        last: errors.JournalUnavailable | None = None
        for file, content in batch.items():
            error = await self._write_one(file, content)
            last = error or last
            self._file(file, content, error)
        return last

    async def _write_one(
        self, file: _File, content: bytes | None
    ) -> errors.JournalUnavailable | None:
        store, deployment = file
        contained = self._failures.contained(PART, deployment, passes=(errors.FleetError,))
        try:
            with contained:
                if content is None:
                    await store.remove(deployment)
                else:
                    await store.put(deployment, content)
        except errors.JournalUnavailable as exc:
            return exc
        if contained.failure:
            return errors.JournalUnavailable(contained.failure.message, element=str(deployment))
        return None

    def _file(self, file: _File, content: bytes | None, error: errors.FleetError | None) -> None:
        """Note what became of a try; meanwhile something newer may have come in."""
        if file in self._untried and self._untried[file] is content:
            del self._untried[file]
        self._unwritten.pop(file, None)
        self._stored.pop(file, None)
        if error is not None:
            self._unwritten[file] = content
        elif content is not None:
            self._stored[file] = content
