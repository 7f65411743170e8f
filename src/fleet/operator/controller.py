"""
The operator's middle: what was touched in the world goes to the queues that act on it.

    buckets ──► feeds ──────┐            ┌─► publisher ──► desired-state
                            ├─► world ───┼─► status writer ──► Deployment status
    API server ─► observer ─┘   (queues) ├─► registrar ──► Device objects
                                         └─► decommissioner ──► all buckets

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
from fleet.operator.barrier import Barrier
from fleet.operator.clock import ServerClock, WallClock
from fleet.operator.coalescing import StatusWriter
from fleet.operator.decommissioning import Decommissioner
from fleet.operator.feeds import DesiredFeed, HeartbeatFeed, InfoFeed, StateFeed, follow
from fleet.operator.indexing import Pair
from fleet.operator.intervals import Intervals
from fleet.operator.liveness import Liveness
from fleet.operator.observer import Observer
from fleet.operator.orphans import Suspects
from fleet.operator.ports import Cluster, Counter
from fleet.operator.posting import Poster
from fleet.operator.presence import Presence
from fleet.operator.publisher import Publisher
from fleet.operator.registrar import Registrar
from fleet.operator.removal import Removal
from fleet.operator.twins import Twins
from fleet.operator.workqueue import Pace, Workqueue
from fleet.operator.world import Touched, World

log = structlog.get_logger()
K = TypeVar("K", bound=Hashable)
M = TypeVar("M", bound=messages.Message)

LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Paces:
    """How fast each queue works; the API server is the limit of the latter two."""

    desired: Pace
    statuses: Pace
    devices: Pace


PACES: Final = Paces(
    desired=Pace(workers=64, longest_retry=5.0),
    # A roll-out begins and ends with news, and may go wrong in between; then comes the next one.
    statuses=Pace(workers=10, spacing=1.0, burst=4),
    devices=Pace(workers=10, spacing=1.0),
)


class Controller:
    """Holds the world, and runs all that keeps it and acts on it."""

    def __init__(
        self,
        bus: Bus,
        cluster: Cluster,
        counter: Counter,
        *,
        intervals: Intervals | None = None,
        paces: Paces = PACES,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.world = World()
        self.barrier = Barrier()
        self._bus = bus
        self._counter = counter
        self._intervals = intervals or Intervals()
        self._presence = Presence(self._intervals.silence)
        self._twins = Twins(quiet=2 * self._intervals.silence)
        self._clock = ServerClock()
        self._now = now
        self.liveness = Liveness(
            self.world,
            self._presence,
            bus,
            twins=self._twins,
            clock=self._clock,
            changed=self.dispatch,
        )
        self.observer = Observer(self.world, self.barrier, cluster, self.liveness, self.dispatch)
        self.poster = Poster(cluster, WallClock(), counter)
        self.statuses = StatusWriter(
            self.world,
            cluster,
            self.poster,
            clock=WallClock(),
            counter=counter,
            written=self.observer.status_written,
        )
        self.decommissioner = Decommissioner(self.world, bus, self.poster, WallClock())
        self._make_queues(cluster, paces)

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name, task in self._tasks().items():
                tasks.create_task(task, name=name)

    def dispatch(self) -> None:
        """Hand what was touched to the queues."""
        touched = self.world.touched
        if touched.pairs or touched.deployments or touched.devices:
            self.world.touched = Touched()
            self._desired.add(touched.pairs)
            self._statuses.add(touched.deployments)
            self._devices.add(touched.devices)
            self._descriptions.add(touched.devices & self.world.devices.keys())
            self._leaving.add(touched.devices.intersection(self.decommissioner.leaving()))

    async def released(self, uid: str) -> None:
        """Wait until a deployment that is being deleted can go."""
        if uid not in self.world.deployments:
            return  # its name can't be a key, so nothing of it is anywhere
        self._statuses.add((uid,))
        await self.statuses.farewells.wait(uid)

    async def decommissioned(self, uid: str) -> None:
        """Wait until a device that is being deleted can go."""
        device = next((d for d in self.world.devices.values() if d.uid == uid), None)
        if device is not None:
            self._leaving.add((device.id,))
            await self.decommissioner.released(device)

    async def resynced(self) -> None:
        """Compare all that stands with all that is wanted, after everything was listed."""
        if self.barrier.missing:
            return
        self._desired.add(self.world.all_pairs())
        await self._removal.look()
        self.dispatch()
        self._counter.resynced()

    def _make_queues(self, cluster: Cluster, paces: Paces) -> None:
        counter = self._counter
        publisher = Publisher(
            self.world,
            self._bus.bucket(messages.DESIRED_STATE),
            self._clock,
            counter,
            look_again=self.observer.look_again,
        )
        self._removal = Removal(
            self.world,
            publisher.orphans,
            cluster,
            self.poster,
            counter=counter,
            suspects=Suspects(self._intervals.orphans.total_seconds()),
            now=self._now,
        )
        registrar = Registrar(
            self.world,
            self._presence,
            self._twins,
            cluster,
            poster=self.poster,
            clock=WallClock(),
            counter=counter,
            observe=self.observer.observe_device,
        )
        self._desired: Workqueue[Pair] = Workqueue(
            "desired", self._dispatching(publisher.work), paces.desired, counter
        )
        self._statuses: Workqueue[str] = Workqueue(
            "statuses",
            self._dispatching(self.statuses.work),
            paces.statuses,
            counter,
            self.statuses.is_news,
        )
        self._devices: Workqueue[DeviceId] = Workqueue(
            "devices", self._dispatching(registrar.register), paces.devices, counter
        )
        self._descriptions: Workqueue[DeviceId] = Workqueue(
            "descriptions", self._dispatching(registrar.describe), paces.devices, counter
        )
        self._leaving: Workqueue[DeviceId] = Workqueue(
            "leaving", self._dispatching(self.decommissioner.work), paces.devices, counter
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
        bus, world, barrier, counter = self._bus, self.world, self.barrier, self._counter
        desired = bus.bucket(messages.DESIRED_STATE)
        return {
            "list": self.observer.keep_listing(self._intervals.resync, self.resynced),
            kv.BUCKET_DESIRED_STATE: self._follow(
                desired, DesiredFeed(world, desired, barrier, counter).handle
            ),
            kv.BUCKET_DEVICE_STATE: self._follow(
                bus.bucket(messages.DEVICE_STATE), StateFeed(world, barrier, counter).handle
            ),
            kv.BUCKET_DEVICE_INFO: self._follow(
                bus.bucket(messages.DEVICE_INFO), InfoFeed(world, barrier, counter).handle
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

        await follow(bucket, handle, resync=self._intervals.resync)

    async def _act(self) -> None:
        await self.barrier.opened()
        log.info(
            "barrier open", deployments=len(self.world.deployments), devices=len(self.world.devices)
        )
        self._desired.add(self.world.all_pairs())
        async with asyncio.TaskGroup() as tasks:
            for name, run in self._queues().items():
                tasks.create_task(run, name=name)

    def _queues(self) -> dict[str, Coroutine[Any, Any, None]]:
        by_device = (self._devices, self._descriptions, self._leaving)
        return {
            self._desired.name: self._desired.run(),
            self._statuses.name: self._statuses.run(),
            **{queue.name: queue.run() for queue in by_device},
            self.poster.queue.name: self.poster.queue.run(),
        }

    async def _look_now_and_then(self) -> None:
        """Look at what time alone moves: patience with deletions, and the room for Events."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.poster.catch_up()
            self._statuses.add(self.statuses.farewells.awaited())
            self._leaving.add(self.decommissioner.leaving())
