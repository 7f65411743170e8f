"""An agent that ends and starts again with its journal: over a strict world, in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from fleet import errors
from fleet.agent.journal import MemoryStore
from fleet.agent.loop import Rhythm
from fleet.bus.memory import MemoryServer
from fleet.bus.port import Put
from fleet.contracts import kv
from fleet.contracts.messages import DeploymentState, Phase
from fleet.contracts.names import DeviceId
from fleet.contracts.permissions import device_permissions
from tests import virtual_time
from tests.agent_device import Hub, running_agent
from tests.unit.agent.test_loop import app, holds
from tests.unit.agent.world import WEB, FakeRuntime, name

DEVICE = DeviceId("dev-01")


class Device:
    """A device with a disk, and its hub."""

    def __init__(self) -> None:
        self.runtime = FakeRuntime()
        self.server = MemoryServer()
        self.store = MemoryStore()
        self.hub = Hub(self.server.connect(), DEVICE)

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[None]:
        """Run the agent; ending the block is as good as kill -9, for nothing is said on the way."""
        bus = self.server.connect(device_permissions(DEVICE))
        rhythm = Rhythm(resync=5.0)
        async with bus, running_agent(DEVICE, self.runtime, bus, self.store, rhythm=rhythm):
            yield

    def runs(self, *services: str) -> Callable[[], bool]:
        """Claim that just these run."""
        return lambda: self.runtime.running() == {name(service) for service in services}


def play(scenario: Callable[[Device], Awaitable[None]]) -> None:
    """Run *scenario*."""

    async def stage() -> None:
        await scenario(Device())

    virtual_time.run(stage())


def test_a_container_removed_while_the_agent_was_down_is_made_again_without_the_hub():
    async def scenario(device: Device) -> None:
        async with device.agent():
            await device.hub.deploy("web", app("a"), app("b"))
            await device.hub.reaches("web", Phase.RUNNING)
        device.server.stop()
        device.runtime.world.containers.clear()
        async with device.agent():
            await holds(device.runs("a", "b"), "both run again")

    play(scenario)


def test_a_delete_marker_read_before_a_crash_is_completed_without_the_hub():
    async def scenario(device: Device) -> None:
        async with device.agent():
            await device.hub.deploy("web", app("a"))
            await device.hub.reaches("web", Phase.RUNNING)
            device.runtime.failures[f"remove {name('a')}"] = errors.ContainerFailed("busy")
            await device.hub.withdraw("web")
            await holds(lambda: f"remove {name('a')}" in device.runtime.calls, "it is tried")
        device.server.stop()
        device.runtime.failures.clear()
        async with device.agent():
            await holds(device.runs(), "the container is gone")
            assert device.store.content
            device.server.start()
            await device.hub.is_gone("web", within=60)
            await holds(lambda: not device.store.content, "the journal forgets it")

    play(scenario)


def test_a_bad_value_does_not_make_a_restart_forget_the_last_good_one():
    async def scenario(device: Device) -> None:
        async with device.agent():
            await device.hub.deploy("web", app("a"))
            await device.hub.reaches("web", Phase.RUNNING)
            revision = await device.hub.deploy("web", app("a", colour="red"))
            await device.hub.reaches("web", Phase.FAILED, revision=revision)
        device.server.stop()
        device.runtime.world.containers.clear()
        async with device.agent():
            await holds(device.runs("a"), "the last good one runs again")
            device.server.start()
            await asyncio.sleep(60)
            await device.hub.reaches("web", Phase.FAILED, revision=revision)

    play(scenario)


def test_a_key_missing_from_a_complete_replay_stays_in_the_journal():
    async def scenario(device: Device) -> None:
        async with device.agent():
            await device.hub.deploy("web", app("a"))
            await device.hub.reaches("web", Phase.RUNNING)
        device.server.drop_buckets()
        device.server.make_buckets()
        async with device.agent():
            await device.hub.reaches("web", Phase.RUNNING)
        device.server.stop()
        device.runtime.world.containers.clear()
        async with device.agent():
            await holds(device.runs("a"), "it runs again")

    play(scenario)


def test_a_restarted_agent_never_says_that_it_knows_no_revision():
    async def scenario(device: Device) -> None:
        async with device.agent():
            revision = await device.hub.deploy("web", app("a"))
            first = await device.hub.reaches("web", Phase.RUNNING, revision=revision)
        said: list[Put[DeploymentState]] = []
        key = kv.device_state_key(DEVICE, WEB)

        async def listen() -> None:
            async for event in device.hub.states.watch(key):
                said.extend([event] if isinstance(event, Put) else [])

        listening = asyncio.create_task(listen())
        async with device.agent():
            await asyncio.sleep(60)
        listening.cancel()
        assert len(said) >= 2
        assert {(put.value.phase, put.value.revision) for put in said} == {(first.phase, revision)}

    play(scenario)


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.3, 1.0, 1.5, 3.0, 10.0])
def test_whenever_the_agent_is_killed_the_next_one_ends_where_it_would_have(seconds: float):
    async def scenario(device: Device) -> None:
        async with device.agent():
            await device.hub.deploy("web", app("a"), app("b"))
            await asyncio.sleep(seconds)
        async with device.agent():
            await device.hub.reaches("web", Phase.RUNNING)
            await device.hub.withdraw("web")
            await asyncio.sleep(seconds)
        async with device.agent():
            await device.hub.is_gone("web")
            revision = await device.hub.deploy("web", app("b", env={"NEW": "1"}))
            await asyncio.sleep(seconds)
        async with device.agent():
            await device.hub.reaches("web", Phase.RUNNING, revision=revision)
            assert device.runs("b")()

    play(scenario)
