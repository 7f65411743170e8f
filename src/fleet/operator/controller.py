"""
Wires watches, store, queues and writers: what an event touched is queued for its writer.

    buckets ────► watches ──┐            ┌─► desired state writer ──► desired-state
                            ├─► store ───┼─► status writer ─────────► Deployment status
    API server ─► informer ─┘   (queues) ├─► device writer ─────────► Device objects
                                         └─► decommissioner ────────► all buckets

The queues work only once the barrier is open.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog

from fleet.bus.port import Bucket, Bus, Event
from fleet.contracts import kv, messages
from fleet.contracts.names import DeviceId
from fleet.operator.clock import ServerClock, WallClock
from fleet.operator.decisions import publishing
from fleet.operator.decisions.coalescing import CoalescedKeys, Coalescing
from fleet.operator.decisions.orphans import Suspects
from fleet.operator.intervals import Intervals
from fleet.operator.model import shared_values
from fleet.operator.model.duplicate_agents import DuplicateAgents
from fleet.operator.model.index import Pair
from fleet.operator.model.presence import Presence
from fleet.operator.model.store import Store, Touched
from fleet.operator.ports import Cluster, Counter
from fleet.operator.time_slice import TimeSlice
from fleet.operator.watches.buckets import DesiredFeed, HeartbeatFeed, InfoFeed, StateFeed, follow
from fleet.operator.watches.informer import Informer
from fleet.operator.watches.liveness import Liveness
from fleet.operator.watches.sync_barrier import SyncBarrier
from fleet.operator.writers.decommissioning import Decommissioner
from fleet.operator.writers.deployment_status import StatusWriter
from fleet.operator.writers.desired_state import DesiredStateWriter
from fleet.operator.writers.devices import DeviceWriter
from fleet.operator.writers.event_recorder import EventRecorder
from fleet.operator.writers.orphans import OrphanRemover
from fleet.operator.writers.withdrawals import Withdrawals
from fleet.operator.writers.work_queue import Pace, WorkQueue

log = structlog.get_logger()
K = TypeVar("K", bound=Hashable)
M = TypeVar("M", bound=messages.Message)

LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Paces:
    """
    How fast each queue works; the API server is the limit of all but the first.

    *loads*: when a `Device` is looked at of which only the count of deployments changed.
    """

    desired: Pace
    statuses: Pace
    devices: Pace
    loads: Coalescing


PACES: Final = Paces(
    desired=Pace(workers=64, longest_retry=5.0),
    # A roll-out begins and ends with news, and may go wrong in between; then comes the next one.
    statuses=Pace(workers=10, spacing=1.0, burst=4),
    devices=Pace(workers=10, spacing=1.0),
    # A roll-out takes seconds on a device: most of them are written once, or not at all.
    loads=Coalescing(settle=5.0, portion=50),
)


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
    ) -> None:
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
        )
        self.informer = Informer(
            self.store,
            self.barrier,
            cluster,
            self.liveness,
            self.dispatch,
            time_slice=self._slice,
        )
        self.recorder = EventRecorder(cluster, WallClock(), counter)
        self.statuses = StatusWriter(
            self.store,
            cluster,
            self.recorder,
            clock=WallClock(),
            counter=counter,
            written=self.informer.status_written,
        )
        self.decommissioner = Decommissioner(self.store, bus, self.recorder, WallClock())
        self._make_queues(cluster, paces)

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name, task in self._tasks().items():
                tasks.create_task(task, name=name)

    def dispatch(self) -> None:
        """Hand what was touched to the queues."""
        touched = self.store.touched
        if touched.pairs or touched.deployments or touched.devices or touched.loads:
            self.store.touched = Touched()
            if not self.barrier.missing:  # everything is compared once it opens
                self._desired.add(touched.pairs)
                self._devices.add(touched.devices)
                self._descriptions.add(touched.devices & self.store.devices.keys())
                self._loads.add(touched.loads, self._now())
            self._statuses.add(touched.deployments)
            self._leaving.add(touched.devices.intersection(self.decommissioner.leaving()))

    @property
    def unsettled(self) -> int:
        """Count the devices whose number of deployments changed a moment ago."""
        return len(self._loads)

    async def released(self, uid: str) -> None:
        """Wait until a deployment that is being deleted can go."""
        if uid not in self.store.deployments:
            return  # its name can't be a key, so nothing of it is anywhere
        self._statuses.add((uid,))
        await self.statuses.pending_deletions.wait(uid)

    async def decommissioned(self, uid: str) -> None:
        """Wait until a device that is being deleted can go."""
        device = next((d for d in self.store.devices.values() if d.uid == uid), None)
        if device is not None:
            self._leaving.add((device.id,))
            await self.decommissioner.released(device)

    async def resynced(self) -> None:
        """Compare all that stands with all that is wanted, after everything was listed."""
        if self.barrier.missing:
            return
        await self._compare()
        await self._orphan_remover.look()
        self.dispatch()
        self._counter.resynced()

    def _make_queues(self, cluster: Cluster, paces: Paces) -> None:
        counter = self._counter
        self._withdrawals = Withdrawals(
            self.informer.look_again,
            lambda pairs: self._desired.add(pairs),  # noqa: PLW0108 - made below
            counter,
        )
        publisher = DesiredStateWriter(
            self.store,
            self._desired_state,
            self._clock,
            counter,
            withdrawals=self._withdrawals,
        )
        self._orphan_remover = OrphanRemover(
            self.store,
            publisher.orphans,
            cluster,
            self.recorder,
            counter=counter,
            suspects=Suspects(self._intervals.orphans.total_seconds()),
            now=self._now,
        )
        self._device_writer = device_writer = DeviceWriter(
            self.store,
            self._presence,
            self._duplicate_agents,
            cluster,
            recorder=self.recorder,
            clock=WallClock(),
            counter=counter,
            observe=self.informer.observe_device,
            status_written=self.informer.device_status_written,
        )
        self._desired: WorkQueue[Pair] = WorkQueue(
            "desired",
            self._dispatching(publisher.work),
            paces.desired,
            counter,
            time_slice=self._slice,
        )
        self._statuses: WorkQueue[str] = WorkQueue(
            "statuses",
            self._dispatching(self.statuses.work),
            paces.statuses,
            counter,
            self.statuses.is_news,
            time_slice=self._slice,
        )
        self._devices: WorkQueue[DeviceId] = WorkQueue(
            "devices",
            self._dispatching(device_writer.register),
            paces.devices,
            counter,
            time_slice=self._slice,
        )
        self._descriptions: WorkQueue[DeviceId] = WorkQueue(
            "descriptions",
            self._dispatching(device_writer.describe),
            paces.devices,
            counter,
            time_slice=self._slice,
        )
        self._leaving: WorkQueue[DeviceId] = WorkQueue(
            "leaving",
            self._dispatching(self.decommissioner.work),
            paces.devices,
            counter,
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

    def _tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        bus, store, barrier, counter = self._bus, self.store, self.barrier, self._counter
        desired, turns = self._desired_state, self._slice
        return {
            "list": self.informer.keep_listing(self._intervals.resync, self.resynced),
            kv.BUCKET_DESIRED_STATE: self._follow(
                desired, DesiredFeed(store, desired, barrier, counter, turns).handle
            ),
            kv.BUCKET_DEVICE_STATE: self._follow(
                bus.bucket(messages.DEVICE_STATE),
                StateFeed(store, barrier, counter, turns).handle,
            ),
            kv.BUCKET_DEVICE_INFO: self._follow(
                bus.bucket(messages.DEVICE_INFO), InfoFeed(store, barrier, counter).handle
            ),
            kv.BUCKET_DEVICE_HEARTBEAT: self._follow(
                bus.bucket(messages.DEVICE_HEARTBEAT), HeartbeatFeed(self.liveness, counter).handle
            ),
            "liveness": self.liveness.run(),
            "act": self._act(),
            "time": self._look_now_and_then(),
        }

    async def _follow(self, bucket: Bucket[M], take: Callable[[Event[M]], Awaitable[None]]) -> None:
        async def handle(event: Event[M]) -> None:
            await take(event)
            self.dispatch()
            await self._slice.give_way()

        await follow(bucket, handle, resync=self._intervals.resync)

    async def _act(self) -> None:
        await self.barrier.opened()
        self._listed()
        log.info(
            "barrier open", deployments=len(self.store.deployments), devices=len(self.store.devices)
        )
        async with asyncio.TaskGroup() as tasks:
            for name, run in self._queues().items():
                tasks.create_task(run, name=name)
            await self._compare()

    async def _compare(self) -> None:
        """Have every device and every key worked on where something is to be done."""
        async for device in self._slice.over({*self.store.infos, *self.store.devices}):
            if self._device_writer.is_due(device):
                self._devices.add((device,))
                self._descriptions.add((device,))
        async for pair in self._slice.over(self.store.all_pairs()):
            if publishing.decide(self.store.facts(pair)) is not None:
                self._desired.add((pair,))

    def _queues(self) -> dict[str, Coroutine[Any, Any, None]]:
        by_device = (self._devices, self._descriptions, self._leaving)
        return {
            self._desired.name: self._desired.run(),
            self._statuses.name: self._statuses.run(),
            **{queue.name: queue.run() for queue in by_device},
            self.recorder.queue.name: self.recorder.queue.run(),
            self._withdrawals.queue.name: self._withdrawals.queue.run(),
        }

    async def _look_now_and_then(self) -> None:
        """Look at what time alone moves: counts that settled, deletions, the room for Events."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.recorder.catch_up()
            self._descriptions.add(self.store.devices.keys() & self._loads.take(self._now()))
            self._statuses.add(self.statuses.pending_deletions.awaited())
            self._leaving.add(self.decommissioner.leaving())
