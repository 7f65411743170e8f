"""
The agent's memory: what the hub wants and what was done for it, where a restart finds it.

So the agent starts, runs and repairs without a hub. Five promises:

* What the hub has not heard of yet is not written, so what is recalled was heard of.
* No container is touched on behalf of an intent that a restart would not know
  of (`settled`), so a restart never goes back to an older one.
* No service that runs once is started before a restart would know that it ran.
* No service whose end means something is stopped before a restart would know who ended it.
* A journal that can't be written, or read, stops nothing. It is a problem of
  the device, and what can't be written now is tried again.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

import msgspec
import structlog

from fleet import errors
from fleet.agent.journal import entries, records
from fleet.agent.journal.store import MemoryStore, Store
from fleet.agent.journal.writer import PART, Writer
from fleet.agent.model import backoff, intents
from fleet.agent.model.problems import Problems
from fleet.agent.model.runs import Memory, Run, Stop
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.supervision.failures import Failures

log = structlog.get_logger(__name__)

_LOADING_SECONDS = 30.0


class Journal:
    """
    The journal of one device. `run` does the writing.

    *store* is where the entries lie, *beside* where the records do.
    """

    def __init__(
        self,
        device_id: DeviceId,
        store: Store,
        problems: Problems,
        random: backoff.Random,
        failures: Failures | None = None,
        *,
        beside: Store | None = None,
    ) -> None:
        self._failures = failures or Failures()
        self._device_id = device_id
        self._store = store
        self._beside = beside or MemoryStore()
        self._problems = problems
        self._writer = Writer(problems, random, self._failures)
        self._entries: dict[DeploymentName, entries.Entry] = {}
        self._records: dict[DeploymentName, records.Record] = {}
        self._heard: set[DeploymentName] = set()

    @property
    def former_ids(self) -> frozenset[DeviceId]:
        """The ids that this device had before, by its own journal."""
        found = {DeviceId(i) for record in self._records.values() for i in record.formerly}
        return frozenset(found - {self._device_id})

    async def load(self) -> dict[DeploymentName, intents.Intent]:
        """Recall what was to be done. What can't be read is set aside, and said."""
        end = asyncio.get_running_loop().time() + _LOADING_SECONDS
        recalled: dict[DeploymentName, intents.Intent] = {}
        complaints: list[str] = []

        def recall(deployment: DeploymentName, content: bytes) -> None:
            recalled[deployment] = self._recall(deployment, content)

        try:
            await self._read(self._store, recall, complaints, by=end)
            await self._read(self._beside, self._recollect, complaints, by=end)
        except (errors.JournalUnavailable, TimeoutError) as exc:
            reason = errors.JournalUnavailable.reason
            self._problems.set(reason, str(exc) or f"not read within {_LOADING_SECONDS:g} s")
        if complaints:
            # It stands until the agent is started again: mended at once, it would go unseen.
            self._problems.set(errors.DamagedJournal.reason, "; ".join(complaints))
        self._note_former_ids()
        return recalled

    def was_heard(self, deployment: DeploymentName) -> bool:
        """Tell whether the hub holds a state of *deployment*, by the journal."""
        entry = self._entries.get(deployment)
        return entry is not None and deployment in self._heard and not entry.is_withdrawn

    def note(self, deployment: DeploymentName, intent: intents.Intent) -> None:
        """
        Have *intent* written, unless it stands there already.

        What the hub hasn't heard of yet waits for that: nothing is done for it before,
        and a restart that recalled it would take it for heard.
        """
        entry = entries.of(self._device_id, deployment, intent)
        if entry is None:
            return
        if not entry.is_withdrawn and self._is_withdrawn(deployment):
            self._heard.discard(deployment)
        self._entries[deployment] = entry
        if deployment in self._heard:
            self._write_entry(deployment, entry)

    def note_heard(self, deployment: DeploymentName) -> None:
        """Take note that the hub has heard of *deployment*, or that there are containers of it."""
        if deployment in self._heard:
            return
        self._heard.add(deployment)
        if deployment in self._entries:
            self._write_entry(deployment, self._entries[deployment])

    def forget(self, deployment: DeploymentName) -> None:
        """Have all that is known of *deployment* removed."""
        self._entries.pop(deployment, None)
        self._heard.discard(deployment)
        self._writer.write_soon(self._store, deployment, None)
        self._write_record(records.Record(deployment=str(deployment)))

    def memory(self, deployment: DeploymentName) -> Memory:
        """Make what the loop of *deployment* knows and changes of all this."""
        record = self._record(deployment)
        return Memory(
            runs={run.service: run for run in record.runs},
            save_runs=partial(self._save_runs, deployment),
            stops={stop.container: stop.started for stop in record.stops},
            save_stops=partial(self._save_stops, deployment),
            note_heard=partial(self.note_heard, deployment),
        )

    def is_settled(self, deployment: DeploymentName) -> bool:
        """Tell whether what was noted of *deployment* is written, or could not be."""
        return self._writer.is_settled(deployment)

    async def settled(self, deployment: DeploymentName) -> None:
        """Wait until it `is_settled`, or takes too long."""
        await self._writer.settled(deployment)

    async def run(self) -> None:
        """Write whatever changes, until cancelled."""
        await self._writer.run()

    async def _read(
        self,
        store: Store,
        take: Callable[[DeploymentName, bytes], None],
        complaints: list[str],
        *,
        by: float,
    ) -> None:
        """Have *take* read each file of *store*."""
        async with asyncio.timeout_at(by):
            loaded = await store.load()
        complaints += loaded.complaints
        for deployment, content in loaded.content.items():
            with self._failures.contained(PART, deployment):
                try:
                    take(deployment, content)
                except errors.DamagedJournal as exc:
                    place = await self._set_aside(store, deployment, by=by)
                    complaints.append(f"{deployment}: {exc}; {place}")
                else:
                    self._writer.found(store, deployment, content)

    async def _set_aside(self, store: Store, deployment: DeploymentName, *, by: float) -> str:
        """Set a file aside, and say where it is; a disk that hangs holds up no start."""
        try:
            async with asyncio.timeout_at(by):
                return f"see {await store.set_aside(deployment)}"
        except TimeoutError:
            return "it could not be set aside in time"

    def _recall(self, deployment: DeploymentName, content: bytes) -> intents.Intent:
        entry = entries.decode(deployment, content)
        intent = entries.intent(entry)
        self._entries[deployment] = entry
        self._heard.add(deployment)
        return intent

    def _recollect(self, deployment: DeploymentName, content: bytes) -> None:
        """
        Recall what was done, also of a deployment without an entry.

        That was lost, to a full disk or to damage: its containers are there, and what ran did
        run. Or an agent of the first version forgot it; then the hub's delete marker is read.
        """
        self._records[deployment] = records.decode(deployment, content)

    def _note_former_ids(self) -> None:
        """
        Have what the entries of another id vouch for written, before they are written anew.

        Their containers bear that id for as long as they live.
        """
        for deployment, entry in self._entries.items():
            if entry.device_id == self._device_id:
                continue
            record = self._record(deployment)
            ids = dict.fromkeys([*record.formerly, entry.device_id])
            self._write_record(msgspec.structs.replace(record, formerly=tuple(ids)))
        if self.former_ids:
            log.warning("this device had another id", former=sorted(self.former_ids))

    def _save_runs(self, deployment: DeploymentName, runs: Mapping[str, Run]) -> None:
        ordered = tuple(runs[service] for service in sorted(runs))
        self._write_record(msgspec.structs.replace(self._record(deployment), runs=ordered))

    def _save_stops(self, deployment: DeploymentName, stops: Mapping[str, int]) -> None:
        ordered = tuple(Stop(container=each, started=stops[each]) for each in sorted(stops))
        self._write_record(msgspec.structs.replace(self._record(deployment), stops=ordered))

    def _record(self, deployment: DeploymentName) -> records.Record:
        known = self._records.get(deployment)
        return known or records.Record(deployment=str(deployment))

    def _write_record(self, record: records.Record) -> None:
        deployment = DeploymentName(record.deployment)
        if record.is_empty:
            self._records.pop(deployment, None)
            self._writer.write_soon(self._beside, deployment, None)
            return
        self._records[deployment] = record
        self._writer.write_soon(self._beside, deployment, records.encode(record))

    def _write_entry(self, deployment: DeploymentName, entry: entries.Entry) -> None:
        self._writer.write_soon(self._store, deployment, entries.encode(entry))

    def _is_withdrawn(self, deployment: DeploymentName) -> bool:
        entry = self._entries.get(deployment)
        return entry is not None and entry.is_withdrawn
