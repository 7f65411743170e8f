"""
Services whose device node is another one than their container was made with, or isn't there.

Over the agent in virtual time: a board that is flashed comes back with another number, a stick is
plugged in anew where no registry is reached, one is away for weeks.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from fleet import errors
from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman import device_claims
from fleet.agent.runtimes.podman.api.devices import Devices
from fleet.agent.runtimes.podman.device_claims import Claim
from fleet.agent.runtimes.podman.device_nodes import DeviceNodes, Node
from fleet.agent.runtimes.port import Container, Fetched, Status
from fleet.bus.memory import MemoryServer
from fleet.contracts import containers
from fleet.contracts.messages import Phase
from fleet.contracts.names import DeploymentName
from fleet.contracts.scores import PullPolicy
from tests import virtual_time
from tests.agent_device import Hub
from tests.unit.agent.deployments.test_loop import DEVICE, app, device, holds, play
from tests.unit.agent.world import FakeRuntime, container, name

FLASH = name("flash")


class Plugged(FakeRuntime):
    """
    A device whose only node has a *number*, which is another one after each start if it *flips*.

    Where it *is_offline*, nothing comes from the registry.
    """

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.flips = False
        self.is_offline = False
        self._made: dict[str, int] = {}

    async def observe(self, deployment: DeploymentName | None = None) -> tuple[Container, ...]:
        return tuple(self._seen(c) for c in await super().observe(deployment))

    async def fetch(self, image: str, policy: PullPolicy) -> Fetched | None:
        if self.is_offline and policy is PullPolicy.ALWAYS:
            raise errors.ImagePullFailed("the registry is away")
        return await super().fetch(image, policy)

    async def create(self, workload: Workload) -> None:
        await super().create(workload)
        self._made[workload.name] = self.number

    async def start(self, container: str) -> None:
        await super().start(container)
        self.number += self.flips

    def replug(self, service: str) -> None:
        """Give the node another number, and have the agent look."""
        self.number += 1
        self.say(name(service))

    def starts(self, service: str) -> int:
        """Tell how often a service was started."""
        return self.calls.count(f"start {name(service)}")

    def is_other(self, service: str) -> bool:
        """Tell whether a service was made with another node than is there."""
        return self._made[name(service)] != self.number

    def _seen(self, found: Container) -> Container:
        claims = (Claim("/dev/x", str(self._made[found.name])),)
        other = device_claims.is_renamed(found, claims, lambda _: str(self.number))
        return replace(found, has_other_node=other)


def plugged(scenario: Callable[[Plugged, Hub, MemoryServer], Awaitable[None]]) -> None:
    """Run *scenario* against a device with such a node."""
    runtime = Plugged()

    async def whole(_: FakeRuntime, hub: Hub, server: MemoryServer) -> None:
        await scenario(runtime, hub, server)

    play(whole, runtime)


class Numbered(DeviceNodes):
    """Nodes that all have one number."""

    def at(self, path: str, *, element: str = "") -> Node:  # noqa: ARG002 - as it is asked
        return Node(Path(path), "c188:1")


def test_a_job_that_gives_its_node_another_number_and_succeeds_is_done():
    async def scenario(runtime: Plugged, hub: Hub, _: MemoryServer) -> None:
        runtime.flips = True
        runtime.dies[FLASH] = 0
        await hub.deploy("web", app("flash", restartPolicy="OnFailure"))
        await hub.reaches("web", Phase.RUNNING)
        await asyncio.sleep(60)  # virtual
        assert runtime.starts("flash") == 1

    plugged(scenario)


def test_a_job_that_gives_its_node_another_number_and_fails_is_tried_ever_more_rarely():
    async def scenario(runtime: Plugged, hub: Hub, _: MemoryServer) -> None:
        runtime.flips = True
        runtime.dies[FLASH] = 1
        await hub.deploy("web", app("flash", restartPolicy="OnFailure"))
        await hub.reaches("web", Phase.FAILED, reason="CrashLoop", within=60)
        await asyncio.sleep(60)  # virtual
        assert 3 <= runtime.starts("flash") <= 8

    plugged(scenario)


@pytest.mark.parametrize("policy", ["Never", "OnFailure"])
def test_a_job_runs_to_its_end_whatever_number_its_node_has_meanwhile(policy: str):
    async def scenario(runtime: Plugged, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("flash", restartPolicy=policy))
        await hub.reaches("web", Phase.RUNNING)
        runtime.replug("flash")
        await asyncio.sleep(60)  # virtual
        state = await hub.state("web")
        assert state
        assert (state.phase, state.error, runtime.running()) == (Phase.RUNNING, None, {FLASH})

        runtime.kill(FLASH, exit_code=0)
        await asyncio.sleep(60)  # virtual
        state = await hub.state("web")
        assert state
        assert (state.phase, state.error) == (Phase.RUNNING, None)
        assert runtime.starts("flash") == 1

    plugged(scenario)


def test_a_job_that_is_done_is_done_to_an_agent_without_a_journal():
    async def stage() -> None:
        runtime, server = Plugged(), MemoryServer()
        hub = Hub(server.connect(), DEVICE)
        runtime.dies[FLASH] = 0
        async with device(runtime, server):
            await hub.deploy("web", app("flash", restartPolicy="OnFailure"))
            await hub.reaches("web", Phase.RUNNING)
        runtime.number += 1
        async with device(runtime, server):
            await asyncio.sleep(60)  # virtual
            await hub.reaches("web", Phase.RUNNING)
        assert runtime.starts("flash") == 1

    virtual_time.run(stage())


def test_a_node_that_gets_another_number_all_the_time_is_followed_ever_more_rarely():
    async def scenario(runtime: Plugged, hub: Hub, _: MemoryServer) -> None:
        runtime.flips = True
        await hub.deploy("web", app("gw"))
        await holds(lambda: runtime.starts("gw") == 1, "it is started")
        for _second in range(60):
            runtime.say(name("gw"))
            await asyncio.sleep(1)  # virtual
        assert 4 <= runtime.starts("gw") <= 8

        runtime.flips = False
        await holds(lambda: not runtime.is_other("gw"), "it has its node", within=90)
        await hub.reaches("web", Phase.RUNNING)

    plugged(scenario)


def test_a_stick_is_plugged_in_anew_where_no_registry_is_reached():
    async def scenario(runtime: Plugged, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("gw", pullPolicy="Always"))
        await hub.reaches("web", Phase.RUNNING)
        runtime.is_offline = True
        runtime.number += 1
        runtime.kill(name("gw"), exit_code=1)
        await holds(lambda: runtime.starts("gw") > 1, "it is made anew")
        await hub.reaches("web", Phase.RUNNING)

    plugged(scenario)


@pytest.mark.parametrize("error", [errors.DeviceMissing("away"), errors.DeviceInUse("taken")])
def test_a_node_that_is_not_to_be_had_holds_up_no_update_of_the_others(error: errors.FleetError):
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"), app("b"))
        await hub.reaches("web", Phase.RUNNING)
        before = runtime.world.containers[name("a")]
        runtime.failures[f"check {name('a')}"] = error
        await hub.deploy("web", app("a", image="app:2"), app("b", image="app:2"))
        await hub.reaches("web", Phase.FAILED, reason=error.reason, running="b")
        await holds(
            lambda: runtime.world.containers[name("b")].image.endswith("app:2"), "b is updated"
        )
        assert runtime.world.containers[name("a")] == before
        assert runtime.running() == {name("a"), name("b")}

        del runtime.failures[f"check {name('a')}"]
        await hub.reaches("web", Phase.RUNNING)
        assert runtime.world.containers[name("a")].image.endswith("app:2")

    play(scenario)


def test_a_service_that_died_with_its_node_away_is_logged_once_however_long_that_takes():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.RUNNING)
        runtime.failures[f"start {name('a')}"] = errors.DeviceMissing("away")
        tried = runtime.calls.count(f"start {name('a')}")
        with structlog.testing.capture_logs() as logs:
            runtime.kill(name("a"))
            await asyncio.sleep(300)  # virtual
        failed = [log["log_level"] for log in logs if log["event"] == "action failed"]
        assert failed == ["warning", *["debug"] * (len(failed) - 1)]
        assert len(failed) == runtime.calls.count(f"start {name('a')}") - tried > 20

        runtime.failures[f"start {name('a')}"] = errors.DeviceMissing("away, and another")
        with structlog.testing.capture_logs() as logs:
            await hub.reaches("web", Phase.FAILED, reason="DeviceMissing")
            await asyncio.sleep(30)  # virtual
        failed = [log["log_level"] for log in logs if log["event"] == "action failed"]
        assert failed.count("warning") == 1

    play(scenario)


def test_what_is_refused_for_good_holds_up_the_whole_update():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"), app("b"))
        await hub.reaches("web", Phase.RUNNING)
        runtime.failures[f"check {name('a')}"] = errors.DeviceForbidden("a disk")
        before = dict(runtime.world.containers)
        await hub.deploy("web", app("a", image="app:2"), app("b", image="app:2"))
        await hub.reaches("web", Phase.FAILED, reason="DeviceForbidden")
        assert runtime.world.containers == before

    play(scenario)


def test_another_number_leaves_the_runtimes_own_word():
    devices = Devices(Numbered(), lambda *_, **__: None)
    ended = container("a", status=Status.EXITED)
    for number, is_other in (("c188:1", False), ("c188:0", True)):
        labels = {containers.LABEL_DEVICES: device_claims.spell([Claim("/dev/x", number)])}
        seen = devices.seen(ended, labels)
        assert (seen.status, seen.has_other_node) == (Status.EXITED, is_other)
