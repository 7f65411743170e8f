"""
From the buckets into the store: each entry, and at the end of a replay what is gone.

What is gone goes key by key: a bug with one keeps no other, and not the barrier.

What doesn't decode is counted and changes nothing. What a replay doesn't hold
leaves the *view*; what follows from that is decided elsewhere, past the barrier.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeAlias, TypeVar

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
from fleet.operator.decisions.junk_keys import MOST_STATES, JunkKey
from fleet.operator.model.aggregation import Report
from fleet.operator.model.matching.index import Pair
from fleet.operator.model.store import Store
from fleet.operator.ports import Counter
from fleet.operator.time_slice import TimeSlice
from fleet.operator.watches.liveness import Liveness
from fleet.operator.watches.sync_barrier import Part, SyncBarrier
from fleet.supervision.failures import Failures

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


Junk: TypeAlias = Callable[[JunkKey], None]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every feed works with; *junk* takes the keys that have no place in a bucket."""

    store: Store
    barrier: SyncBarrier
    counter: Counter
    failures: Failures
    junk: Junk
    time_slice: TimeSlice = field(default_factory=TimeSlice)


def _keep(_: JunkKey) -> None:
    """Leave what is no device's to whoever wrote it."""


class Keys:
    """Reads the keys of one bucket, and counts what can't be read; *junk* takes what is none."""

    def __init__(self, bucket: str, counter: Counter, junk: Junk = _keep) -> None:
        self._bucket = bucket
        self._counter = counter
        self._junk = junk

    def read(self, entry: Entry[M], parse: Callable[[str], K]) -> K | None:
        """Read the key of *entry*."""
        if isinstance(entry, Undecodable):
            self._counter.undecodable(self._bucket)
        if isinstance(entry, Put) and entry.time_replaced:
            self._counter.time_replaced(self._bucket)
        try:
            return parse(entry.key)
        except errors.InvalidKey:
            self.give_up(entry)
            return None

    def give_up(self, entry: Entry[M]) -> None:
        """Have what stands there swept."""
        self._junk(JunkKey(self._bucket, entry.key, entry.revision))


def desired_owner(key: str) -> Pair:
    """Name whom a key of `desired-state` concerns."""
    return Pair(*kv.parse_desired_state_key(key))


def state_owner(key: str) -> Pair:
    """Name whom a key of `device-state` concerns."""
    return Pair(*kv.parse_device_state_key(key))


class DesiredFeed:
    """The view of `desired-state`, which this process writes itself."""

    def __init__(self, around: Surroundings, bucket: Bucket[ReconcileScore]) -> None:
        self._failures = around.failures
        self._store = around.store
        self._slice = around.time_slice
        self._bucket = bucket
        self._barrier = around.barrier
        self._keys = Keys(bucket.name, around.counter)

    async def handle(self, event: Event[ReconcileScore]) -> None:
        """Take note of one event."""
        if isinstance(event, Synced):
            async for pair in self._slice.over(tuple(self._store.desired)):
                if kv.desired_state_key(*pair) in event.keys:
                    continue
                # It may have been written since the replay began.
                with self._failures.contained(
                    self._bucket.name, pair, passes=(errors.RetryableError,)
                ):
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
    """The view of `device-state`: of each device no more than it can have any use for."""

    def __init__(self, around: Surroundings) -> None:
        self._failures = around.failures
        self._store = around.store
        self._slice = around.time_slice
        self._barrier = around.barrier
        self._keys = Keys(kv.BUCKET_DEVICE_STATE, around.counter, around.junk)

    async def handle(self, event: Event[DeploymentState]) -> None:
        """Take note of one event."""
        if isinstance(event, Synced):
            async for pair in self._slice.over(tuple(self._store.states)):
                if kv.device_state_key(*pair) not in event.keys:
                    with self._failures.contained(kv.BUCKET_DEVICE_STATE, pair):
                        self._store.drop_state(pair)
            async for cleared in self._slice.over(tuple(self._store.cleared.pairs())):
                if kv.device_state_key(*cleared) not in event.keys:
                    self._store.cleared.relate(*cleared, related=False)
            self._barrier.listed(Part.DEVICE_STATE)
            return
        found = self._keys.read(event, kv.parse_device_state_key)
        if found is None:
            return
        pair = self._store.names.pair(*found)
        if not self._is_surplus(pair):
            self._take(pair, event)
        elif Part.DESIRED_STATE not in self._barrier.missing:  # or it may be wanted
            self._keys.give_up(event)

    def _is_surplus(self, pair: Pair) -> bool:
        """Tell whether a device has no room for one more state."""
        is_full = self._store.reported(pair.device) >= MOST_STATES
        return is_full and not self._store.knows(pair)

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

    def __init__(self, around: Surroundings) -> None:
        self._failures = around.failures
        self._store = around.store
        self._barrier = around.barrier
        self._keys = Keys(kv.BUCKET_DEVICE_INFO, around.counter, around.junk)

    async def handle(self, event: Event[DeviceInfo]) -> None:
        """Take note of one event."""
        if isinstance(event, Synced):
            for gone in [d for d in self._store.infos if kv.device_info_key(d) not in event.keys]:
                with self._failures.contained(kv.BUCKET_DEVICE_INFO, gone):
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

    def __init__(self, around: Surroundings, liveness: Liveness) -> None:
        self._liveness = liveness
        self._keys = Keys(kv.BUCKET_DEVICE_HEARTBEAT, around.counter, around.junk)

    async def handle(self, event: Event[HeartbeatPayload]) -> None:
        """Take note of one event."""
        if isinstance(event, Synced):
            self._liveness.synced()
            return
        device = self._keys.read(event, kv.parse_device_heartbeat_key)
        if device is not None and isinstance(event, Put):
            self._liveness.heard(device, event.at, event.value.instance)
