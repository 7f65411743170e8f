"""
Wires watches, store, queues and writers: what an event touched is queued for its writer.

    buckets ────► watches ──┐            ┌─► desired state writer ──► desired-state
                            ├─► store ───┼─► status writer ─────────► Deployment status
    API server ─► informer ─┘   (queues) ├─► device writer ─────────► Device objects
                                         └─► decommissioner ────────► all buckets

The queues work only once the barrier is open. Each watch, queue and loop is a part
under a supervisor: one that fails is run again, and no other notices.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import structlog

from fleet import errors
from fleet.bus.port import Bucket, Bus, Event
from fleet.contracts import kv, messages
from fleet.contracts.names import DeviceId
from fleet.operator.clock import ServerClock, WallClock
from fleet.operator.decisions import publishing
from fleet.operator.decisions.coalescing import CoalescedKeys, Coalescing
from fleet.operator.decisions.orphans import Suspects
from fleet.operator.intervals import Intervals
from fleet.operator.model import key_facts, shared_values
from fleet.operator.model.duplicate_agents import DuplicateAgents
from fleet.operator.model.matching.index import Pair
from fleet.operator.model.presence import Presence
from fleet.operator.model.store import Store, Touched
from fleet.operator.ports import Cluster, Counter
from fleet.operator.time_slice import TimeSlice
from fleet.operator.watches import buckets, liveness
from fleet.operator.watches.buckets import (
    DesiredFeed,
    HeartbeatFeed,
    InfoFeed,
    StateFeed,
    Surroundings,
    follow,
)
from fleet.operator.watches.definitions import Definitions
from fleet.operator.watches.entries import EntryTaker
from fleet.operator.watches.informer import Informer
from fleet.operator.watches.liveness import Liveness
from fleet.operator.watches.sync_barrier import SyncBarrier
from fleet.operator.writers import deployment_status, desired_state, devices
from fleet.operator.writers.decommissioning import Decommissioner
from fleet.operator.writers.deployment_status import StatusWriter
from fleet.operator.writers.desired_state import DesiredStateWriter
from fleet.operator.writers.devices import DeviceWriter
from fleet.operator.writers.event_recorder import EventRecorder
from fleet.operator.writers.failure_events import FailureEvents
from fleet.operator.writers.junk_keys import JunkKeySweeper
from fleet.operator.writers.orphans import OrphanRemover
from fleet.operator.writers.withdrawals import Withdrawals
from fleet.operator.writers.work_queue import Pace, WorkQueue
from fleet.supervision import backoff
from fleet.supervision.backoff import Backoff
from fleet.supervision.failures import Failures
from fleet.supervision.supervisor import Supervisor

log = structlog.get_logger()
K = TypeVar("K", bound=Hashable)
M = TypeVar("M", bound=messages.Message)

LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Paces:
    """How fast each queue works: what each writer says, unless a test is in a hurry."""

    desired: Pace = desired_state.PACE
    statuses: Pace = deployment_status.PACE
    loads: Coalescing = devices.LOADS
    devices: Pace = devices.PACE


PACES: Final = Paces()

# What a watch could not take: a bug is rare, and meets the same entry again.
RETRY_PACE: Final = Pace(workers=2, first_retry=1.0)


class Controller:
    """Holds the store, and runs all that keeps it and acts on it."""

    def __init__(
        self,
        bus: Bus,
        cluster: Cluster,
        counter: Counter,
        *,
        intervals: Intervals | None = None,
        paces: Paces = PACES,
        now: Callable[[], float] = time.monotonic,
        listed: Callable[[], None] = lambda: None,
        failures: Failures | None = None,
        restart: Backoff = backoff.RESTART,
    ) -> None:
        self.failures = failures or Failures()
        self._restart = restart
        self.store = Store()
        self.barrier = SyncBarrier()
        self._bus = bus
        self._counter = counter
        self._intervals = intervals or Intervals()
        self._presence = Presence(self._intervals.silence)
        self._duplicate_agents = DuplicateAgents(quiet=2 * self._intervals.silence)
        self._clock = ServerClock()
        self._slice = TimeSlice()
        self._desired_state = bus.bucket(shared_values.desired_state())
        self._now = now
        self._listed = listed
        self._loads: CoalescedKeys[DeviceId] = CoalescedKeys(paces.loads)
        self.liveness = Liveness(
            self.store,
            self._presence,
            bus,
            duplicate_agents=self._duplicate_agents,
            clock=self._clock,
            changed=self.dispatch,
            failures=self.failures,
        )
        self.informer = Informer(
            self.store,
            self.barrier,
            cluster,
            self.liveness,
            self.dispatch,
            failures=self.failures,
            time_slice=self._slice,
        )
        self._definitions = Definitions(cluster)
        self.recorder = EventRecorder(cluster, WallClock(), counter, failures=self.failures)
        self._sweeper = JunkKeySweeper(bus, counter, failures=self.failures)
        self.failures.add_watcher(FailureEvents(self.store, self.recorder, counter))
        self.statuses = StatusWriter(
            self.store,
            cluster,
            self.recorder,
            clock=WallClock(),
            counter=counter,
            written=self.informer.status_written,
            definitions_stand=self._definitions.stand,
        )
        self.decommissioner = Decommissioner(
            self.store,
            bus,
            self.recorder,
            clock=WallClock(),
            definitions_stand=self._definitions.stand,
        )
        self._make_queues(cluster, paces)

    async def run(self) -> None:
        """
        Run until cancelled.

        :raises supervisor.Ended: a part ended for good.
        """
        async with Supervisor(self.failures, self._restart) as supervisor:
            supervisor.start("list", self._keep_listing)
            supervisor.start(liveness.PART, self.liveness.run)
            supervisor.start("time", self._look_now_and_then)
            supervisor.start("barrier", self._await_barrier, may_end=True)
            for queue in self._queues:
                supervisor.start(queue.name, partial(self._work, queue))
            # Neither waits for the barrier: an Event may tell why that stays shut.
            for each in (self._sweeper.queue, self.recorder.queue):
                supervisor.start(each.name, each.run)
            self._start_watches(supervisor)

    def dispatch(self) -> None:
        """Hand what was touched to the queues."""
        touched = self.store.touched
        if touched.pairs or touched.deployments or touched.devices or touched.loads:
            self.store.touched = Touched()
            if self.barrier.is_open:  # else everything is compared once it opens
                self._desired.add(touched.pairs)
                self._devices.add(touched.devices)
                self._descriptions.add(touched.devices & self.store.devices.keys())
                self._loads.add(touched.loads, self._now())
            self._statuses.add(touched.deployments)
            self._decommissions.add(touched.devices.intersection(self.decommissioner.under_way()))

    @property
    def unsettled(self) -> int:
        """Count the devices whose number of deployments changed a moment ago."""
        return len(self._loads)

    async def released(self, uid: str) -> None:
        """Wait until a deployment that is being deleted can go."""
        self._require_read(uid)
        if uid not in self.store.deployments:
            return  # its name can't be a key, so nothing of it is anywhere
        self._statuses.add((uid,))
        await self.statuses.pending_deletions.wait(uid)

    async def decommissioned(self, uid: str) -> None:
        """Wait until a device that is being deleted can go."""
        self._require_read(uid)
        device = next((d for d in self.store.devices.values() if d.uid == uid), None)
        if device is not None:
            self._decommissions.add((device.id,))
            await self.decommissioner.released(device)

    def _require_read(self, uid: str) -> None:
        """Let nothing go of which a bug hides what it left; raises `errors.InternalError`."""
        if uid in self.informer.unread:
            raise errors.InternalError("what it left on devices isn't known", element=uid)

    async def resynced(self) -> None:
        """Compare all that stands with all that is wanted, after everything was listed."""
        if not self.barrier.is_open:
            return
        await self._compare()
        with self.failures.contained("orphans"):
            if self.informer.unread:  # whose keys may be anybody's
                log.warning("orphans not looked at", unread=len(self.informer.unread))
                await self._orphan_remover.forbid()
            else:
                await self._orphan_remover.look()
        self.dispatch()
        self._counter.resynced()

    def _make_queues(self, cluster: Cluster, paces: Paces) -> None:
        counter = self._counter
        self._withdrawals = Withdrawals(
            self.informer.look_again,
            lambda pairs: self._desired.add(pairs),  # noqa: PLW0108 - made below
            counter,
            failures=self.failures,
            time_slice=self._slice,
        )
        publisher = DesiredStateWriter(
            self.store,
            self._desired_state,
            self._clock,
            counter,
            withdrawals=self._withdrawals,
            definitions_stand=self._definitions.stand,
            time_slice=self._slice,
        )
        self._orphan_remover = OrphanRemover(
            self.store,
            publisher.orphans,
            cluster,
            self.recorder,
            counter=counter,
            suspects=Suspects(self._intervals.orphans.total_seconds()),
            now=self._now,
            changed=self.dispatch,
            time_slice=self._slice,
        )
        self._device_writer = device_writer = DeviceWriter(
            self.store,
            self._presence,
            self._duplicate_agents,
            cluster,
            recorder=self.recorder,
            clock=WallClock(),
            counter=counter,
            observe=self.informer.device_registered,
            status_written=self.informer.device_status_written,
        )
        self._desired: WorkQueue[Pair] = self._queue("desired", publisher.work, paces.desired)
        self._statuses: WorkQueue[str] = self._queue(
            "statuses", self.statuses.work, paces.statuses, self.statuses.is_news
        )
        self._devices: WorkQueue[DeviceId] = self._queue(
            "devices", device_writer.register, paces.devices
        )
        self._descriptions: WorkQueue[DeviceId] = self._queue(
            "descriptions", device_writer.describe, paces.devices
        )
        self._decommissions: WorkQueue[DeviceId] = self._queue(
            "decommissions", self.decommissioner.work, paces.devices
        )
        self._queues: tuple[WorkQueue[Any], ...] = (
            self._desired,
            self._statuses,
            self._devices,
            self._descriptions,
            self._decommissions,
            self._withdrawals.queue,
        )

    def _queue(
        self,
        name: str,
        work: Callable[[K], Awaitable[None]],
        pace: Pace,
        is_news: Callable[[K], bool] = lambda _: False,
    ) -> WorkQueue[K]:
        return WorkQueue(
            name,
            self._dispatching(work),
            pace,
            self._counter,
            is_news,
            failures=self.failures,
            time_slice=self._slice,
        )

    def _dispatching(self, work: Callable[[K], Awaitable[None]]) -> Callable[[K], Awaitable[None]]:
        """Wrap *work* so that what it touched is handed on, also when it failed."""

        async def wrapped(key: K) -> None:
            try:
                await work(key)
            finally:
                self.dispatch()

        return wrapped

    def _start_watches(self, supervisor: Supervisor) -> None:
        around = Surroundings(
            self.store,
            self.barrier,
            self._counter,
            self.failures,
            junk=self._sweeper.add,
            time_slice=self._slice,
        )
        desired = self._desired_state
        states = self._bus.bucket(messages.DEVICE_STATE)
        infos = self._bus.bucket(messages.DEVICE_INFO)
        heartbeats = self._bus.bucket(messages.DEVICE_HEARTBEAT)
        self._start_watch(
            supervisor, desired, DesiredFeed(around, desired).handle, buckets.desired_owner
        )
        self._start_watch(supervisor, states, StateFeed(around).handle, buckets.state_owner)
        self._start_watch(supervisor, infos, InfoFeed(around).handle, kv.parse_device_info_key)
        self._start_watch(
            supervisor,
            heartbeats,
            HeartbeatFeed(around, self.liveness).handle,
            kv.parse_device_heartbeat_key,
        )

    def _start_watch(
        self,
        supervisor: Supervisor,
        bucket: Bucket[M],
        take: Callable[[Event[M]], Awaitable[None]],
        owner: Callable[[str], Hashable],
    ) -> None:
        taker: EntryTaker[M] = EntryTaker(
            bucket.name,
            take,
            owner,
            changed=self.dispatch,
            retry=lambda failed: retries.add((failed,)),
            failures=self.failures,
        )
        retries = self._queue(bucket.name, taker.take_again, RETRY_PACE)
        resync = self._intervals.resync

        async def handle(event: Event[M]) -> None:
            await taker.handle(event)
            await self._slice.give_way()

        supervisor.start(bucket.name, lambda: follow(bucket, handle, resync=resync))
        supervisor.start(f"{bucket.name} retries", retries.run)

    async def _keep_listing(self) -> None:
        await self.informer.keep_listing(self._intervals.resync, self.resynced)

    async def _await_barrier(self) -> None:
        await self.barrier.opened()
        self._listed()
        log.info(
            "barrier open", deployments=len(self.store.deployments), devices=len(self.store.devices)
        )
        await self._compare()

    async def _compare(self) -> None:
        """Have every device and every key worked on where something is to be done."""
        async for device in self._slice.over({*self.store.infos, *self.store.devices}):
            with self.failures.contained("compare", device):
                if self._device_writer.is_due(device):
                    self._devices.add((device,))
                    self._descriptions.add((device,))
        async for pair in self._slice.over(self.store.all_pairs()):
            with self.failures.contained("compare", pair):
                if publishing.decide(key_facts.gather(self.store, pair)) is not None:
                    self._desired.add((pair,))

    def _settled_loads(self) -> AbstractSet[DeviceId]:
        """Take some devices whose count of deployments is to be written."""
        is_busy = self._desired.is_busy or self._statuses.is_busy
        return self.store.devices.keys() & self._loads.take(self._now(), is_busy=is_busy)

    async def _work(self, queue: WorkQueue[Any]) -> None:
        await self.barrier.opened()
        await queue.run()

    async def _look_now_and_then(self) -> None:
        """Look at what time alone moves: counts that settled, deletions, the room for Events."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.failures.expire()
            with self.failures.contained("time", "events"):
                self.recorder.catch_up()
            with self.failures.contained("time", "descriptions"):
                self._descriptions.add(self._settled_loads())
            with self.failures.contained("time", "deletions"):
                self._statuses.add(self.statuses.pending_deletions.awaited())
            with self.failures.contained("time", "decommissioning"):
                self._decommissions.add(self.decommissioner.under_way())
