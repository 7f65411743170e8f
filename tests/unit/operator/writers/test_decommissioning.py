"""Decommissioning: what is swept of a device, what stays, and what comes in between."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from fleet.bus.memory import MemoryServer
from fleet.bus.port import Deleted, Put
from fleet.contracts import kv
from fleet.contracts.messages import Phase
from fleet.contracts.names import DeviceId
from fleet.operator.model import key_facts
from fleet.operator.model.custom_resources import Device
from fleet.operator.model.store import Store
from fleet.operator.watches.definitions import Definitions
from fleet.operator.writers.decommissioning import Decommissioner
from fleet.operator.writers.event_recorder import EventRecorder
from lab.bench.simulated_device import SimulatedDevice
from tests.unit.operator import making
from tests.unit.operator.fakes import FakeClock, FakeCluster, FakeCounter
from tests.unit.operator.making import START, device, info, pair

D1 = DeviceId("d1")
INFO = kv.device_info_key(D1)
SLOW = START - timedelta(minutes=5)


class Scene:
    """A decommissioner, and one device that told all it can."""

    def __init__(self) -> None:
        self.store = Store()
        self.bus = MemoryServer().connect()
        self.device = SimulatedDevice(self.bus, D1)
        self.cluster = FakeCluster()
        recorder = EventRecorder(self.cluster, FakeClock(), FakeCounter())
        self.decommissioner = Decommissioner(
            self.store,
            self.bus,
            recorder,
            clock=FakeClock(),
            definitions_stand=Definitions(self.cluster).stand,
        )

    async def prepare(self, leaving: Device) -> None:
        """Have it tell a state of "web", whose marker it never read, and have "db" cleaned up."""
        await self.device.register({"site": "a"})
        await self.device.report("web", Phase.RUNNING, "x")
        self.store.put_device(leaving)
        self.store.put_info(D1, info())
        self.store.put_state(pair(), making.report())
        for name in ("web", "db"):
            key = pair(deployment=name)
            revision = await self.device.desired.delete(kv.desired_state_key(*key))
            self.store.put_desired(key, making.marker(revision))

    async def leave(self, leaving: Device) -> bool:
        """Have one look at it; tell whether it may go."""
        waiting = asyncio.create_task(self.decommissioner.released(leaving))
        await asyncio.sleep(0)
        await self.decommissioner.work(D1)
        await asyncio.sleep(0)
        gone = waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return gone


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    yield made
    await made.bus.close()


async def test_a_device_that_is_heard_and_runs_something_stays(scene: Scene):
    leaving = device(deleting_since=START)
    await scene.prepare(leaving)
    assert not await scene.leave(leaving)
    assert isinstance(await scene.device.infos.get(INFO), Put)


async def test_all_that_it_told_goes_and_the_markers_that_it_read(scene: Scene):
    leaving = device(deleting_since=SLOW)
    await scene.prepare(leaving)
    assert await scene.leave(leaving)
    assert await scene.device.infos.get(INFO) is None
    assert await scene.device.heartbeats.get(kv.device_heartbeat_key(D1)) is None
    assert await scene.device.states.get(kv.device_state_key(*pair())) is None
    assert await scene.device.desired.get(kv.desired_state_key(*pair(deployment="db"))) is None
    unread = await scene.device.desired.get(kv.desired_state_key(*pair()))
    assert isinstance(unread, Deleted)
    assert D1 not in scene.store.infos
    assert not scene.store.states
    assert key_facts.gather(scene.store, pair()).unread


async def test_a_device_that_nobody_waits_for_is_not_swept(scene: Scene):
    await scene.prepare(device(deleting_since=SLOW))
    await scene.decommissioner.work(D1)
    assert isinstance(await scene.device.infos.get(INFO), Put)


@pytest.mark.parametrize("turns", range(8))
async def test_what_the_agent_tells_anew_while_it_is_swept_is_lost_in_both_places_or_in_none(
    scene: Scene, turns: int
):
    leaving = device(deleting_since=SLOW)
    await scene.prepare(leaving)
    anew = info(labels={"site": "b"})

    async def tell() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await scene.device.infos.put(INFO, anew)
        scene.store.put_info(D1, anew)  # as the feed does at once

    telling = asyncio.create_task(tell())
    assert await scene.leave(leaving)
    await telling
    stands = await scene.device.infos.get(INFO)
    assert (scene.store.infos.get(D1) == anew) is isinstance(stands, Put)
