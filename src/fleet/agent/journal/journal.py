"""
The agent's memory: what the hub wants, kept where a restart finds it.

So the agent starts, runs and repairs without a hub. Two promises:

* No container is touched on behalf of an intent that a restart would not know
  of (`settled`), so a restart never goes back to an older one.
* A journal that can't be written, or read, stops nothing. It is a problem of
  the device, and what can't be written now is tried again.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from fleet import errors
from fleet.agent.journal import entries
from fleet.agent.model import backoff, intents
from fleet.agent.model.problems import Problems
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.supervision.failures import Failures

log = structlog.get_logger(__name__)

PART = "journal"

# A disk that takes longer than this isn't waited for.
_PATIENCE_SECONDS = 5.0
_LOADING_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a store holds by deployment, and what of it could not be read, in sentences."""

    content: Mapping[DeploymentName, bytes]
    complaints: tuple[str, ...] = ()


class Store(Protocol):
    """Where entries are kept. One deployment's entry is never touched for another's sake."""

    async def load(self) -> Loaded:
        """
        Read all of it.

        :raises errors.JournalUnavailable: nothing of it can be read.
        """

    async def put(self, deployment: DeploymentName, content: bytes) -> None:
        """
        Have *content* survive a power cut. Until it does, what stood there before stands.

        :raises errors.JournalUnavailable: it could not be written.
        """

    async def remove(self, deployment: DeploymentName) -> None:
        """
        Drop an entry, which may be gone already.

        :raises errors.JournalUnavailable: it could not be removed.
        """

    async def set_aside(self, deployment: DeploymentName) -> str:
        """Take an entry that can't be read out of the way, and tell where it is now."""


class MemoryStore:
    """A store that lasts as long as its process: for agents that have no disk of their own."""

    def __init__(self) -> None:
        self.content: dict[DeploymentName, bytes] = {}

    async def load(self) -> Loaded:
        """Read all of it."""
        return Loaded(dict(self.content))

    async def put(self, deployment: DeploymentName, content: bytes) -> None:
        """Keep *content*."""
        self.content[deployment] = content

    async def remove(self, deployment: DeploymentName) -> None:
        """Drop an entry."""
        self.content.pop(deployment, None)

    async def set_aside(self, deployment: DeploymentName) -> str:
        """Drop an entry that can't be read."""
        del self.content[deployment]
        return "nowhere"


class Journal:
    """The journal of one device. `run` does the writing."""

    def __init__(
        self,
        device_id: DeviceId,
        store: Store,
        problems: Problems,
        random: backoff.Random,
        failures: Failures | None = None,
    ) -> None:
        self._failures = failures or Failures()
        self._device_id = device_id
        self._store = store
        self._problems = problems
        self._random = random
        self._stored: dict[DeploymentName, bytes] = {}
        self._untried: dict[DeploymentName, bytes | None] = {}
        self._unwritten: dict[DeploymentName, bytes | None] = {}
        self._changed = asyncio.Event()
        self._tried = asyncio.Event()

    async def load(self) -> dict[DeploymentName, intents.Intent]:
        """Recall what was to be done. What can't be read is set aside, and said."""
        try:
            async with asyncio.timeout(_LOADING_SECONDS):
                loaded = await self._store.load()
        except (errors.JournalUnavailable, TimeoutError) as exc:
            reason = errors.JournalUnavailable.reason
            self._problems.set(reason, str(exc) or f"not read within {_LOADING_SECONDS:g} s")
            return {}
        complaints = list(loaded.complaints)
        end = asyncio.get_running_loop().time() + _LOADING_SECONDS
        recalled: dict[DeploymentName, intents.Intent] = {}
        for deployment, content in loaded.content.items():
            with self._failures.contained(PART, deployment):
                try:
                    entry = entries.decode(self._device_id, deployment, content)
                except errors.DamagedJournal as exc:
                    place = await self._set_aside(deployment, by=end)
                    complaints.append(f"{deployment}: {exc}; {place}")
                else:
                    recalled[deployment] = entries.intent(entry)
                    self._stored[deployment] = content
        if complaints:
            # It stands until the agent is started again: mended at once, it would go unseen.
            self._problems.set(errors.DamagedJournal.reason, "; ".join(complaints))
        return recalled

    async def _set_aside(self, deployment: DeploymentName, *, by: float) -> str:
        """Set an entry aside, and say where it is; a disk that hangs holds up no start."""
        try:
            async with asyncio.timeout_at(by):
                return f"see {await self._store.set_aside(deployment)}"
        except TimeoutError:
            return "it could not be set aside in time"

    def note(self, deployment: DeploymentName, intent: intents.Intent) -> None:
        """Have *intent* written, unless it stands there already."""
        entry = entries.of(self._device_id, deployment, intent)
        if entry is not None:
            self._write_soon(deployment, entries.encode(entry))

    def forget(self, deployment: DeploymentName) -> None:
        """Have the entry removed."""
        self._write_soon(deployment, None)

    def is_settled(self, deployment: DeploymentName) -> bool:
        """Tell whether what was noted of *deployment* is written, or could not be."""
        return deployment not in self._untried

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

    def _write_soon(self, deployment: DeploymentName, content: bytes | None) -> None:
        if content == self._latest(deployment):
            return
        self._untried[deployment] = content
        self._changed.set()

    def _latest(self, deployment: DeploymentName) -> bytes | None:
        for known in (self._untried, self._unwritten, self._stored):
            if deployment in known:
                return known[deployment]
        return None

    async def _wait_for_work(self, failures: int) -> None:
        """Wait for a change; where something failed, no longer than until its next try."""
        delay = backoff.RETRYABLE.delay(failures, self._random) if failures else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._changed.wait()

    async def _write(
        self, batch: Mapping[DeploymentName, bytes | None]
    ) -> errors.JournalUnavailable | None:
        """Try each. One that fails is no reason not to try the next."""
        last: errors.JournalUnavailable | None = None
        for deployment, content in batch.items():
            error = await self._write_one(deployment, content)
            last = error or last
            self._file(deployment, content, error)
        return last

    async def _write_one(
        self, deployment: DeploymentName, content: bytes | None
    ) -> errors.JournalUnavailable | None:
        contained = self._failures.contained(PART, deployment, passes=(errors.FleetError,))
        try:
            with contained:
                if content is None:
                    await self._store.remove(deployment)
                else:
                    await self._store.put(deployment, content)
        except errors.JournalUnavailable as exc:
            return exc
        if contained.failure:
            return errors.JournalUnavailable(contained.failure.message, element=str(deployment))
        return None

    def _file(
        self, deployment: DeploymentName, content: bytes | None, error: errors.FleetError | None
    ) -> None:
        """Note what became of a try; meanwhile something newer may have come in."""
        if deployment in self._untried and self._untried[deployment] is content:
            del self._untried[deployment]
        self._unwritten.pop(deployment, None)
        self._stored.pop(deployment, None)
        if error is not None:
            self._unwritten[deployment] = content
        elif content is not None:
            self._stored[deployment] = content
