"""
From the buckets into the store: each entry, and at the end of a replay what is gone.

What doesn't decode is counted and changes nothing. What a replay doesn't hold
leaves the *view*; what follows from that is decided elsewhere, past the barrier.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import TypeVar

import structlog

from fleet import errors
from fleet.bus.port import Bucket, Deleted, Entry, Event, Put, Synced, Undecodable
from fleet.contracts import kv
from fleet.contracts.messages import (
    DeploymentState,
    DeviceInfo,
    HeartbeatPayload,
    Message,
    ReconcileScore,
)
from fleet.operator.model.aggregation import Report
from fleet.operator.model.index import Pair
from fleet.operator.model.store import Store
from fleet.operator.ports import Counter
from fleet.operator.time_slice import TimeSlice
from fleet.operator.watches.liveness import Liveness
from fleet.operator.watches.sync_barrier import Part, SyncBarrier

log = structlog.get_logger()
M = TypeVar("M", bound=Message)
K = TypeVar("K")

START_OVER_SECONDS = 1.0


async def follow(
    bucket: Bucket[M], handle: Callable[[Event[M]], Awaitable[None]], *, resync: timedelta
) -> None:
    """
    Hand every event of *bucket* to *handle*, for ever; start over when that fails.

    It is replayed again every *resync*: a stream that was purged by hand tells nobody.
    """
    while True:
        try:
            await _follow_once(bucket, handle, resync)
        except errors.RetryableError as exc:
            log.warning("feed starts over", bucket=bucket.name, error=str(exc))
            await asyncio.sleep(START_OVER_SECONDS)


async def _follow_once(
    bucket: Bucket[M], handle: Callable[[Event[M]], Awaitable[None]], resync: timedelta
) -> None:
    """Replay, and follow for a while from then on."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None) as limit, aclosing(bucket.watch()) as events:
            async for event in events:
                await handle(event)
                if isinstance(event, Synced):
                    now = asyncio.get_running_loop().time()
                    limit.reschedule(now + resync.total_seconds())


class Keys:
    """Reads the keys of one bucket, counting those that are none."""

    def __init__(self, bucket: str, counter: Counter) -> None:
        self._bucket = bucket
        self._counter = counter

    def read(self, entry: Entry[M], parse: Callable[[str], K]) -> K | None:
        """Read the key of *entry*, counting what can't be read."""
        if isinstance(entry, Undecodable):
            self._counter.undecodable(self._bucket)
        try:
            return parse(entry.key)
        except errors.InvalidKey:
            return None


class DesiredFeed:
    """The view of `desired-state`, which this process writes itself."""

    def __init__(
        self,
        store: Store,
        bucket: Bucket[ReconcileScore],
        barrier: SyncBarrier,
        counter: Counter,
        time_slice: TimeSlice,
    ) -> None:
        self._store = store
        self._slice = time_slice
        self._bucket = bucket
        self._barrier = barrier
        self._keys = Keys(bucket.name, counter)

    async def handle(self, event: Event[ReconcileScore]) -> None:
        """Take note of one event."""
        if isinstance(event, Synced):
            async for pair in self._slice.over(tuple(self._store.desired)):
                if _desired_key(pair) not in event.keys:
                    # It may have been written since the replay began.
                    await self._read_again(pair)
            self._barrier.listed(Part.DESIRED_STATE)
            return
        found = self._keys.read(event, kv.parse_desired_state_key)
        if found is None:
            return
        pair = self._store.names.pair(*found)
        known = self._store.desired.get(pair)
        if known is not None and event.revision < known.revision:
            # The echo of what was overwritten since, or a bucket made anew.
            await self._read_again(pair)
        else:
            self._store.put_desired(pair, event)

    async def _read_again(self, pair: Pair) -> None:
        self._store.put_desired(pair, await self._bucket.get(kv.desired_state_key(*pair)))


class StateFeed:
    """The view of `device-state`."""

    def __init__(
        self, store: Store, barrier: SyncBarrier, counter: Counter, time_slice: TimeSlice
    ) -> None:
        self._store = store
        self._slice = time_slice
        self._barrier = barrier
        self._keys = Keys(kv.BUCKET_DEVICE_STATE, counter)

    async def handle(self, event: Event[DeploymentState]) -> None:
        """Take note of one event."""
        if isinstance(event, Synced):
            async for pair in self._slice.over(tuple(self._store.states)):
                if _state_key(pair) not in event.keys:
                    self._store.drop_state(pair)
            async for pair in self._slice.over(tuple(self._store.cleared)):
                if _state_key(pair) not in event.keys:
                    self._store.cleared.discard(pair)
            self._barrier.listed(Part.DEVICE_STATE)
            return
        found = self._keys.read(event, kv.parse_device_state_key)
        if found is not None:
            self._take(self._store.names.pair(*found), event)

    def _take(self, pair: Pair, entry: Entry[DeploymentState]) -> None:
        match entry:
            case Put(value=value, at=at):
                self._store.put_state(pair, Report.of(value, at))
            case Deleted():
                self._store.clear_state(pair)
            case Undecodable():
                self._store.put_state(pair, None)


class InfoFeed:
    """The view of `device-info`. Info that is gone or doesn't decode changes no object."""

    def __init__(self, store: Store, barrier: SyncBarrier, counter: Counter) -> None:
        self._store = store
        self._barrier = barrier
        self._keys = Keys(kv.BUCKET_DEVICE_INFO, counter)

    async def handle(self, event: Event[DeviceInfo]) -> None:
        """Take note of one event."""
        if isinstance(event, Synced):
            for gone in [d for d in self._store.infos if kv.device_info_key(d) not in event.keys]:
                self._store.put_info(gone, None)
            self._barrier.listed(Part.DEVICE_INFO)
            return
        device = self._keys.read(event, kv.parse_device_info_key)
        if device is None:
            return
        match event:
            case Put(value=value):
                self._store.put_info(self._store.names.device(device), value)
            case Deleted():
                self._store.put_info(device, None)
            case Undecodable():
                pass


class HeartbeatFeed:
    """What is heard of devices. A heartbeat that doesn't decode is no sign of life."""

    def __init__(self, liveness: Liveness, counter: Counter) -> None:
        self._liveness = liveness
        self._keys = Keys(kv.BUCKET_DEVICE_HEARTBEAT, counter)

    async def handle(self, event: Event[HeartbeatPayload]) -> None:
        """Take note of one event."""
        if isinstance(event, Synced):
            self._liveness.synced()
            return
        device = self._keys.read(event, kv.parse_device_heartbeat_key)
        if device is not None and isinstance(event, Put):
            self._liveness.heard(device, event.at, event.value.instance)


# Names of the store are valid, so nothing is checked again: there are hundreds of thousands.


def _desired_key(pair: Pair) -> str:
    return f"{pair.device!s}.{pair.deployment!s}"


def _state_key(pair: Pair) -> str:
    return f"state.{pair.device!s}.{pair.deployment!s}"
