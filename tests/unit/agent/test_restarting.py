"""An agent that ends and starts again with its journal: over a strict world, in virtual time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from fleet import errors
from fleet.agent.deployments.loop import Rhythm
from fleet.agent.journal.store import MemoryStore
from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.port import Container
from fleet.bus.memory import MemoryServer
from fleet.bus.port import Put
from fleet.contracts import kv
from fleet.contracts.messages import DeploymentState, Phase
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.contracts.permissions import device_permissions
from tests import virtual_time
from tests.agent_device import Hub, running_agent
from tests.unit.agent.deployments.test_loop import app, holds
from tests.unit.agent.world import WEB, FakeRuntime, name

DEVICE = DeviceId("dev-01")

T = TypeVar("T")


class Power:
    """Steps that change the device go through here; it can be cut at one of them."""

    def __init__(self) -> None:
        self.steps_left: int | None = None
        self.is_step_done = False
        self.cut = asyncio.Event()

    async def step(self, change: Coroutine[Any, Any, T]) -> T:
        """Do *change*, unless the power is gone, or goes now."""
        if self.steps_left is None:
            return await change
        self.steps_left -= 1
        if self.steps_left >= 0:
            return await change
        if self.is_step_done and not self.cut.is_set():
            await change
        change.close()
        self.cut.set()
        await asyncio.Event().wait()
        raise AssertionError

    def cut_at(self, step: int, *, is_done: bool) -> None:
        """Cut it at the *step*-th step from now on: before it, or when it is done."""
        self.steps_left, self.is_step_done = step, is_done

    def restore(self) -> None:
        """Have it back."""
        self.steps_left = None
        self.cut.clear()


class Disk(MemoryStore):
    """A disk that hangs on the power. A write takes a while."""

    def __init__(self, power: Power) -> None:
        super().__init__()
        self._power = power

    async def put(self, deployment: DeploymentName, content: bytes) -> None:
        await asyncio.sleep(0.5)
        await self._power.step(super().put(deployment, content))

    async def remove(self, deployment: DeploymentName) -> None:
        await asyncio.sleep(0.5)
        await self._power.step(super().remove(deployment))


class Machine(FakeRuntime):
    """A runtime that hangs on the power."""

    def __init__(self, power: Power) -> None:
        super().__init__()
        self._power = power
        self.slow_listing = 0.0

    async def observe(self, deployment: DeploymentName | None = None) -> tuple[Container, ...]:
        found = await super().observe(deployment)
        if deployment is None:
            await asyncio.sleep(self.slow_listing)
        return found

    async def create(self, workload: Workload) -> None:
        await self._power.step(super().create(workload))

    async def start(self, container: str) -> None:
        await self._power.step(super().start(container))

    async def remove(self, container: str) -> None:
        await self._power.step(super().remove(container))


class Device:
    """A device with a disk, and its hub."""

    def __init__(self) -> None:
        self.power = Power()
        self.runtime = Machine(self.power)
        self.server = MemoryServer()
        self.store, self.records = Disk(self.power), Disk(self.power)
        self.hub = Hub(self.server.connect(), DEVICE)

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[None]:
        """Run the agent; ending the block is as good as kill -9, for nothing is said on the way."""
        bus = self.server.connect(device_permissions(DEVICE))
        rhythm = Rhythm(resync=5.0)
        kept, records = self.store, self.records
        async with (
            bus,
            running_agent(DEVICE, self.runtime, bus, kept, records=records, rhythm=rhythm),
        ):
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


def test_a_record_without_an_entry_goes_once_the_delete_marker_is_read():
    async def scenario(device: Device) -> None:
        async with device.agent():
            await device.hub.deploy("web", app("a", restartPolicy="Never"))
            await device.hub.reaches("web", Phase.RUNNING)
            await holds(lambda: bool(device.records.content), "it is remembered")
        device.store.content.clear()
        device.runtime.world.containers.clear()
        await device.hub.withdraw("web")
        async with device.agent():
            await holds(lambda: not device.records.content, "nothing is remembered")

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


V1 = (app("a"), app("b"))
V2 = (app("a", env={"NEW": "1"}), app("c"))


async def meet_power_cut(device: Device, change: Awaitable[object]) -> None:
    """Run the agent through *change*, until the power is cut; some changes take fewer steps."""
    async with device.agent():
        await change
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30):
                await device.power.cut.wait()
    device.power.restore()


async def restart_without_the_hub(device: Device) -> None:
    """Let an agent that hears nothing do what it thinks is right."""
    device.server.stop()
    async with device.agent():
        await asyncio.sleep(60)
    device.server.start()


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(8))
def test_an_update_that_was_begun_is_completed_without_the_hub(step: int, is_done: bool):
    async def scenario(device: Device) -> None:
        async with device.agent():
            await device.hub.deploy("web", *V1)
            await device.hub.reaches("web", Phase.RUNNING)
        before = dict(device.runtime.world.containers)
        device.power.cut_at(step, is_done=is_done)
        await meet_power_cut(device, device.hub.deploy("web", *V2))
        was_begun = device.runtime.world.containers != before

        await restart_without_the_hub(device)
        assert device.runs("a", "c")() or (device.runs("a", "b")() and not was_begun)
        async with device.agent():
            await holds(device.runs("a", "c"), "the new version runs")

    play(scenario)


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(4))
def test_a_withdrawal_that_was_begun_is_completed_without_the_hub(step: int, is_done: bool):
    async def scenario(device: Device) -> None:
        async with device.agent():
            await device.hub.deploy("web", *V1)
            await device.hub.reaches("web", Phase.RUNNING)
        device.power.cut_at(step, is_done=is_done)
        await meet_power_cut(device, device.hub.withdraw("web"))
        was_begun = not device.runs("a", "b")()

        await restart_without_the_hub(device)
        assert device.runs()() or (device.runs("a", "b")() and not was_begun)
        async with device.agent():
            await holds(device.runs(), "nothing is left")
            await holds(lambda: not device.store.content, "nor in the journal", within=60)

    play(scenario)


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(8))
def test_what_comes_back_after_a_withdrawal_is_not_taken_away_again(step: int, is_done: bool):
    async def scenario(device: Device) -> None:
        async with device.agent():
            await device.hub.deploy("web", *V1)
            await device.hub.reaches("web", Phase.RUNNING)
            device.runtime.failures[f"remove {name('b')}"] = errors.ContainerFailed("busy")
            await device.hub.withdraw("web")
            await holds(device.runs("b"), "one is left", within=30)
        device.runtime.failures.clear()
        device.power.cut_at(step, is_done=is_done)
        await meet_power_cut(device, device.hub.deploy("web", *V2))
        was_begun = bool({name("a"), name("c")} & device.runtime.world.containers.keys())

        await restart_without_the_hub(device)
        assert device.runs("a", "c")() or (device.runs()() and not was_begun)
        async with device.agent():
            await holds(device.runs("a", "c"), "the new version runs")

    play(scenario)


@pytest.mark.parametrize("prune", [False, True], ids=["kept", "pruned"])
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(10))
def test_whenever_the_power_goes_what_never_runs_twice_does_not(
    step: int, is_done: bool, prune: bool
):
    async def scenario(device: Device) -> None:
        job = app("a", restartPolicy="Never"), app("b", restartPolicy="OnFailure")
        device.power.cut_at(step, is_done=is_done)
        await meet_power_cut(device, device.hub.deploy("web", *job))
        device.runtime.world.reboot()
        if prune:
            device.runtime.world.prune()
        await restart_without_the_hub(device)
        assert device.runtime.calls.count(f"start {name('a')}") <= 1
        async with device.agent():
            await holds(lambda: name("b") in device.runtime.running(), "the other one runs")
            await asyncio.sleep(60)
        starts = device.runtime.calls.count(f"start {name('a')}")
        assert starts == 1 or (prune and starts == 0)

    play(scenario)


def test_what_the_hub_had_not_heard_of_is_not_begun_by_a_restart_without_it():
    async def scenario(device: Device) -> None:
        rights = device_permissions(DEVICE)
        mute = replace(rights, publish=tuple(p for p in rights.publish if "device-state" not in p))
        deaf_bus = device.server.connect(mute)
        async with deaf_bus, running_agent(DEVICE, device.runtime, deaf_bus, device.store):
            await device.hub.deploy("web", app("a"))
            await holds(lambda: "fetch app:1" in device.runtime.calls, "the image is fetched")
            await asyncio.sleep(60)
        await restart_without_the_hub(device)
        assert not device.runtime.world.containers
        async with device.agent():
            await holds(device.runs("a"), "it runs once the hub has heard of it")

    play(scenario)


def test_a_deployment_withdrawn_while_containers_are_looked_for_does_not_come_back():
    async def scenario(device: Device) -> None:
        async with device.agent():
            await device.hub.deploy("web", app("a"))
            await device.hub.reaches("web", Phase.RUNNING)
        device.runtime.slow_listing = 20.0
        async with device.agent():
            await device.hub.withdraw("web")
            await device.hub.is_gone("web")
            await asyncio.sleep(60)
            await device.hub.is_gone("web", within=0)
        assert not device.store.content

    play(scenario)


def test_a_service_that_crashes_is_held_back_though_the_clock_was_set_meanwhile():
    async def scenario(device: Device) -> None:
        async with device.agent():
            await device.hub.deploy("web", app("a"))
            await device.hub.reaches("web", Phase.RUNNING)
            for _ in range(3):
                await holds(device.runs("a"), "it runs", within=60)
                device.runtime.kill(name("a"), after=100_000)
            await device.hub.reaches("web", Phase.FAILED, reason="CrashLoop")

    play(scenario)


def test_a_service_that_ran_long_is_started_at_once_though_the_clock_was_set_back():
    async def scenario(device: Device) -> None:
        async with device.agent():
            await device.hub.deploy("web", app("a"))
            await device.hub.reaches("web", Phase.RUNNING)
            await asyncio.sleep(60)
            device.runtime.kill(name("a"), after=-500)
            await holds(device.runs("a"), "it runs again", within=0.5)

    play(scenario)
