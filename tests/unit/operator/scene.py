"""A controller and all that it acts on: any bus, and a cluster in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from datetime import timedelta

from fleet.bus.memory import MemoryBus, MemoryServer
from fleet.bus.port import Bus, Deleted, Put, Synced
from fleet.contracts import kv, messages
from fleet.contracts.names import DeploymentName
from fleet.operator.controller import Controller, Paces
from fleet.operator.decisions.coalescing import Coalescing
from fleet.operator.intervals import Intervals
from fleet.operator.writers.work_queue import Pace
from fleet.supervision.backoff import Backoff
from fleet.supervision.failures import Failures
from lab.bench.simulated_device import SimulatedDevice
from tests.unit.operator.fakes import FakeCluster, FakeCounter
from tests.unit.operator.making import deployment_body
from tests.waiting import eventually

QUICK = Pace(workers=4, spacing=0.01, first_retry=0.01, longest_retry=0.05)
AT_ONCE = Coalescing(settle=0.0, portion=50)
PACES = Paces(desired=QUICK, statuses=QUICK, devices=QUICK, loads=AT_ONCE)
RESTART = Backoff(first=0.01, longest=0.05)

Connect = Callable[[], Awaitable[AbstractAsyncContextManager[Bus]]]


class Scene:
    """*bus* is the test's own; *connect* makes another one for each controller."""

    def __init__(self, bus: Bus, connect: Connect) -> None:
        self.bus = bus
        self._connect = connect
        self.cluster = FakeCluster()
        self.counter = FakeCounter()
        self.device = SimulatedDevice(bus, "d1")
        self.intervals = Intervals(silence=timedelta(minutes=5))
        self.now = 0.0
        self.paces = PACES

    @asynccontextmanager
    async def running(self, cluster: FakeCluster | None = None) -> AsyncIterator[Controller]:
        """Run a controller of its own while the block runs; entering again is a restart."""
        async with await self._connect() as bus:
            controller = Controller(
                bus,
                cluster or self.cluster,
                self.counter,
                intervals=self.intervals,
                paces=self.paces,
                now=lambda: self.now,
                failures=Failures(now=lambda: self.now),
                restart=RESTART,
            )
            task = asyncio.create_task(controller.run())
            try:
                yield controller
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def summary(self) -> dict[str, str]:
        """Read what the device's columns show; nothing before its first status."""
        body = self.cluster.devices.get(self.device.id, {})
        return dict((body.get("status") or {}).get("summary") or {})

    async def resync(self, controller: Controller, *, after: float = 0) -> None:
        """Have everything listed anew, *after* some seconds."""
        self.now += after
        await controller.informer.list_all()
        await controller.resynced()

    async def until(self, look: Callable[[], object], what: str) -> None:
        """Wait until *look* finds something true."""

        async def looking() -> bool:
            return bool(look())

        await eventually(looking, what)

    async def until_wanted(self, name: str = "web") -> messages.ReconcileScore:
        """Wait until something is wanted of the device."""
        return await eventually(lambda: self.device.wanted(name), f"{name} is wanted")

    async def is_marked(self, name: str = "web") -> bool:
        """Tell whether the device is told to stop."""
        key = kv.desired_state_key(self.device.id, DeploymentName(name))
        return isinstance(await self.device.desired.get(key), Deleted)

    async def acts(self, controller: Controller) -> None:
        """Wait until the controller acted on something that came just now."""
        uid = f"later-{len(self.cluster.deployments)}"
        self.cluster.add(deployment_body(uid, uid=uid, labels={"site": "nowhere"}))
        await controller.informer.list_all()
        await self.until(lambda: self.cluster.status(uid), "it acts")

    async def values(self) -> int:
        """Count the values in `desired-state`."""
        count = 0
        async with aclosing(self.device.desired.watch()) as events:
            async for event in events:
                if isinstance(event, Synced):
                    break
                count += isinstance(event, Put)
        return count


class MemoryScene(Scene):
    """Over the bus in memory."""

    def __init__(self) -> None:
        self.server = MemoryServer()
        super().__init__(self.server.connect(), self._again)

    async def _again(self) -> MemoryBus:
        return self.server.connect()
