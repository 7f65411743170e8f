"""Liveness: nobody falls silent while the operator can't hear, nor for a watch that stalled."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from fleet import errors
from fleet.bus.memory import MemoryServer
from fleet.contracts import kv, messages
from fleet.contracts.names import DeviceId
from fleet.operator.clock import ServerClock
from fleet.operator.model.duplicate_agents import DuplicateAgents
from fleet.operator.model.presence import SILENCE, Hearing, Presence
from fleet.operator.model.store import Store
from fleet.operator.watches.liveness import LOOKS, MOST_PER_LOOK, Liveness
from tests.unit.operator.making import START, device

D1 = DeviceId("d1")
STEP = SILENCE / LOOKS


class Scene:
    """A liveness whose time, and whose server's, passes by `pass_time` alone."""

    def __init__(self) -> None:
        self.now = START
        self.store = Store()
        self.presence = Presence()
        self.server = MemoryServer(clock=lambda: self.now)
        self.bus = self.server.connect()
        self.liveness = Liveness(
            self.store,
            self.presence,
            self.bus,
            duplicate_agents=DuplicateAgents(2 * SILENCE),
            clock=ServerClock(monotonic=lambda: 0.0),
            changed=lambda: None,
        )

    async def know(self, *devices: DeviceId) -> None:
        """Have these made, and awaited, after the first look."""
        self.liveness.synced()
        await self.liveness.look()
        for each in devices:
            self.store.put_device(device(str(each)))
            self.liveness.expect(each)

    async def pass_time(self, seconds: timedelta) -> None:
        """Let time pass, with a look at each step of it."""
        until = self.now + seconds
        while self.now < until:
            self.now += STEP
            await self.liveness.look()

    async def beat(self) -> None:
        """Have the server hold a heartbeat, of which no watch tells."""
        beats = self.bus.bucket(messages.DEVICE_HEARTBEAT)
        payload = messages.HeartbeatPayload(device_id=D1, at=self.now, instance="i1")
        await beats.put(kv.device_heartbeat_key(D1), payload)


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_who_is_not_heard_for_the_interval_is_silent(scene: Scene):
    await scene.know(D1)
    await scene.pass_time(SILENCE - STEP)
    assert not scene.store.silent
    await scene.pass_time(2 * STEP)
    assert scene.store.silent == {D1}


async def cut(scene: Scene) -> None:
    scene.bus.cut()
    with pytest.raises(errors.BusUnavailable):
        await scene.liveness.look()
    scene.bus.mend()


async def restart(scene: Scene) -> None:
    scene.server.stop()
    scene.server.start()


@pytest.mark.parametrize("lose", [cut, restart])
async def test_nobody_is_silent_in_a_session_whose_heartbeats_were_not_replayed(
    scene: Scene, lose: Callable[[Scene], Awaitable[None]]
):
    await scene.know(D1)
    await scene.pass_time(SILENCE / 2)
    await lose(scene)
    await scene.pass_time(4 * SILENCE)
    assert not scene.store.silent

    scene.liveness.synced()
    await scene.pass_time(SILENCE)
    assert not scene.store.silent
    await scene.pass_time(2 * STEP)
    assert scene.store.silent == {D1}


async def test_a_heartbeat_that_no_watch_told_of_is_read_before_its_device_is_silent(
    scene: Scene,
):
    await scene.know(D1)
    await scene.pass_time(SILENCE - STEP)
    await scene.beat()
    await scene.pass_time(3 * STEP)
    assert not scene.store.silent
    assert scene.presence.hearing(D1) is Hearing.HEARD


async def test_a_fleet_that_goes_dark_is_told_a_portion_at_a_time(scene: Scene):
    await scene.know(*(DeviceId(f"d{number}") for number in range(MOST_PER_LOOK + 1)))
    await scene.pass_time(SILENCE)
    counts = []
    for _ in range(3):
        await scene.pass_time(STEP)
        counts.append(len(scene.store.silent))
    assert counts == [MOST_PER_LOOK, MOST_PER_LOOK + 1, MOST_PER_LOOK + 1]


async def test_who_is_heard_is_kept_though_its_object_went_and_forgotten_once_silent(
    scene: Scene,
):
    await scene.know(D1)
    scene.liveness.heard(D1, scene.now, "i1")
    scene.store.drop_device(D1)
    scene.liveness.forget(D1)
    assert scene.presence.hearing(D1) is Hearing.HEARD
    await scene.pass_time(SILENCE + 2 * STEP)
    assert scene.presence.hearing(D1) is Hearing.AWAITED
    assert not scene.store.silent
