"""Writes `desired-state`: one key at a time by compare-and-set, what `publishing` decided."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, assert_never

import structlog

from fleet import errors
from fleet.bus.port import Bucket, Deleted, Put
from fleet.contracts import kv
from fleet.contracts.messages import ReconcileScore
from fleet.operator.clock import Clock
from fleet.operator.decisions import publishing
from fleet.operator.decisions.orphans import Orphan
from fleet.operator.decisions.publishing import Leave, Mark, Purge, PutValue
from fleet.operator.model import key_facts
from fleet.operator.model.ending import Ending
from fleet.operator.model.matching.index import Pair
from fleet.operator.model.store import Store
from fleet.operator.ports import Counter
from fleet.operator.time_slice import TimeSlice
from fleet.operator.writers.withdrawals import Withdrawals
from fleet.operator.writers.work_queue import Pace

log = structlog.get_logger()

PACE: Final = Pace(workers=64, longest_retry=5.0)

DefinitionsStand: TypeAlias = Callable[[Ending], Awaitable[bool]]


class DesiredStateWriter:
    """
    The one writer of `desired-state`.

    What labels and a selector alone no longer want is withdrawn once `withdrawals` has read
    both again. Nor may anything be for a deletion that *definitions_stand* denies: whoever
    deletes a definition loses the objects, and keeps what runs.
    """

    def __init__(
        self,
        store: Store,
        bucket: Bucket[ReconcileScore],
        clock: Clock,
        counter: Counter,
        *,
        withdrawals: Withdrawals,
        definitions_stand: DefinitionsStand,
        time_slice: TimeSlice | None = None,
    ) -> None:
        self._slice = time_slice or TimeSlice()
        self._definitions_stand = definitions_stand
        self._withdrawals = withdrawals
        self._store = store
        self._bucket = bucket
        self._clock = clock
        self._counter = counter
        self._orphans: dict[Pair, Orphan] = {}

    async def orphans(self) -> tuple[Orphan, ...]:
        """List the keys that are orphans now."""
        async for pair in self._slice.over(tuple(self._orphans)):
            self._note_orphan(pair, publishing.orphan(key_facts.gather(self._store, pair)))
        return tuple(self._orphans.values())

    async def work(self, pair: Pair) -> None:
        """Bring one key to what is wanted."""
        facts = key_facts.gather(self._store, pair)
        self._note_orphan(pair, publishing.orphan(facts))
        action = publishing.decide(facts)
        confirmed = self._withdrawals.take(pair)
        if isinstance(action, Mark):
            if not await self._is_meant(pair, confirmed=confirmed):
                return
            action = publishing.decide(key_facts.gather(self._store, pair))
        if action is None or isinstance(action, Leave):
            return
        try:
            await self._execute(pair, action)
        except errors.RevisionConflict:
            await self._read_again(pair)
            raise
        self._counter.published(type(action).__name__.lower())

    async def _is_meant(self, pair: Pair, *, confirmed: bool) -> bool:
        """Look again at what a withdrawal is for; one for a definition that goes is not meant."""
        if owner := key_facts.parted(self._store, pair):
            if not confirmed:
                self._withdrawals.ask(pair, owner)
            return confirmed
        endings = key_facts.endings(self._store, pair)
        if not endings or any([await self._definitions_stand(ending) for ending in endings]):
            return True
        log.warning("kept, since its definition goes", key=kv.desired_state_key(*pair))
        return False

    async def _execute(self, pair: Pair, action: PutValue | Mark | Purge) -> None:
        key = kv.desired_state_key(*pair)
        match action:
            case PutValue(value, last):
                revision = await self._bucket.put(key, value, last=last)
                self._store.put_desired(pair, Put(key, value, revision, self._clock.now()))
                log.info("desired state put", key=key, revision=value.revision[:12])
            case Mark(last):
                revision = await self._bucket.delete(key, last=last)
                self._store.put_desired(pair, Deleted(key, revision, self._clock.now()))
                log.info("desired state withdrawn", key=key)
            case Purge():
                await self._purge(pair, key)
            case _:
                assert_never(action)

    async def _purge(self, pair: Pair, key: str) -> None:
        """Purge a marker, after a look: the bucket may have been made anew since."""
        await self._read_again(pair)
        action = publishing.decide(key_facts.gather(self._store, pair))
        if isinstance(action, Purge):
            await self._bucket.purge(key, last=action.last)
            await self._read_again(pair)
            log.debug("marker purged", key=key)

    async def _read_again(self, pair: Pair) -> None:
        entry = await self._bucket.get(kv.desired_state_key(*pair))
        self._store.put_desired(pair, entry)

    def _note_orphan(self, pair: Pair, found: Leave | None) -> None:
        known = pair in self._orphans
        if found is not None:
            self._orphans[pair] = Orphan(pair, found.last, found.owner_uid, found.remade)
            if known:
                return
            log.warning(
                "orphan found",
                device=pair.device,
                deployment=pair.deployment,
                owner_uid=found.owner_uid,
            )
        elif known:
            del self._orphans[pair]
        else:
            return
        self._counter.orphans(len(self._orphans))
