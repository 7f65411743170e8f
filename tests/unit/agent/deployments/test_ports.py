"""Two deployments that want one host port: who gets it, who is told what, and for how long."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fleet.agent.deployments.ports import ONE_MOMENT_SECONDS, Ports, spell
from fleet.agent.journal.journal import MemoryStore
from fleet.bus.memory import MemoryServer
from fleet.contracts.messages import Phase
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.contracts.permissions import device_permissions
from fleet.contracts.scores import Port, Protocol
from tests import virtual_time
from tests.agent_device import Hub, running_agent
from tests.unit.agent.deployments.test_loop import app, holds, play
from tests.unit.agent.world import FakeRuntime, name

DEVICE = DeviceId("dev-01")
ALPHA, OMEGA = DeploymentName("alpha"), DeploymentName("omega")


def page(port: int = 8080, **more: Any) -> dict[str, Any]:
    """A service that publishes *port*."""
    return app("a", ports=[{"host": port, "container": 80}], **more)


async def is_taken_by(hub: Hub, loser: str, holder: str, port: int = 8080) -> None:
    """Wait until *loser* says who has its port."""
    state = await hub.reaches(loser, Phase.FAILED, reason="PortInUse")
    assert state.error
    assert state.error.service == "a"
    assert f"port {port}/tcp is taken by default/{holder}" in state.error.message


@contextlib.asynccontextmanager
async def device(
    runtime: FakeRuntime, server: MemoryServer, store: MemoryStore
) -> AsyncIterator[None]:
    """A life of an agent with a journal."""
    bus = server.connect(device_permissions(DEVICE))
    async with bus, running_agent(DEVICE, runtime, bus, store):
        yield


def test_the_second_is_told_who_has_its_port_and_never_tries_for_it():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("omega", page())
        await hub.reaches("omega", Phase.RUNNING)
        await hub.deploy("alpha", page())
        await is_taken_by(hub, "alpha", "omega")
        await asyncio.sleep(300)
        assert f"start {name('a', 'alpha')}" not in runtime.calls
        assert runtime.running() == {name("a", "omega")}

    play(scenario)


@pytest.mark.parametrize(
    "change", ["it falls over", "it is removed", "it is replaced", "a new image"]
)
def test_the_first_keeps_its_port_while_it_does_not_run(change: str):
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("omega", page())
        await hub.reaches("omega", Phase.RUNNING)
        await hub.deploy("alpha", page())
        await is_taken_by(hub, "alpha", "omega")
        match change:
            case "it falls over":
                runtime.dies[name("a", "omega")] = 1
                runtime.kill(name("a", "omega"))
            case "it is removed":
                runtime.world.remove(name("a", "omega"))
            case "it is replaced":
                await hub.deploy("omega", page(env={"NEW": "1"}))
            case _:
                runtime.pulls["slow:1"] = asyncio.Event()
                await hub.deploy("omega", page(image="slow:1"))
                runtime.world.remove(name("a", "omega"))
        await asyncio.sleep(300)
        assert f"start {name('a', 'alpha')}" not in runtime.calls

    play(scenario)


async def withdrawn(hub: Hub) -> None:
    await hub.withdraw("omega")


async def moved(hub: Hub) -> None:
    await hub.deploy("omega", page(9090))


@pytest.mark.parametrize("give_up", [withdrawn, moved])
def test_a_port_that_is_given_up_passes_on_at_once(give_up: Any):
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("omega", page())
        await hub.reaches("omega", Phase.RUNNING)
        await hub.deploy("alpha", page())
        await is_taken_by(hub, "alpha", "omega")
        await asyncio.sleep(300)
        await give_up(hub)
        await hub.reaches("alpha", Phase.RUNNING, within=2)

    play(scenario)


def test_a_one_shot_that_is_done_gives_its_port_up():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("omega", page(restartPolicy="Never"))
        await hub.reaches("omega", Phase.RUNNING)
        await hub.deploy("alpha", page())
        await is_taken_by(hub, "alpha", "omega")
        runtime.kill(name("a", "omega"), exit_code=0)
        await hub.reaches("alpha", Phase.RUNNING, within=2)

    play(scenario)


def test_two_deployments_can_swap_their_ports():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("omega", page(8080))
        await hub.deploy("alpha", page(9090))
        await hub.reaches("omega", Phase.RUNNING)
        await hub.reaches("alpha", Phase.RUNNING)
        revisions = [await hub.deploy("omega", page(9090)), await hub.deploy("alpha", page(8080))]
        for deployment, revision in zip(("omega", "alpha"), revisions, strict=True):
            await hub.reaches(deployment, Phase.RUNNING, revision=revision, within=5)

    play(scenario)


def test_a_port_on_another_address_is_another_port():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        for deployment, address in (("omega", "10.0.0.1"), ("alpha", "10.0.0.2")):
            ports = [{"host": 8080, "container": 80, "hostIp": address}]
            await hub.deploy(deployment, app("a", ports=ports))
        await holds(lambda: f"start {name('a', 'omega')}" in runtime.calls, "omega is started")
        await holds(lambda: f"start {name('a', 'alpha')}" in runtime.calls, "alpha is started")

    play(scenario)


def test_after_a_restart_the_first_has_its_port_also_where_nothing_of_it_is_left():
    async def scenario() -> None:
        runtime, server, store = FakeRuntime(), MemoryServer(), MemoryStore()
        hub = Hub(server.connect(), DEVICE)
        async with device(runtime, server, store):
            await hub.deploy("omega", page())
            await hub.reaches("omega", Phase.RUNNING)
            await asyncio.sleep(60)
            await hub.deploy("alpha", page())
            await is_taken_by(hub, "alpha", "omega")
        runtime.world.containers.clear()
        runtime.pulls["app:1"] = asyncio.Event()
        async with device(runtime, server, store):
            await asyncio.sleep(60)
            runtime.pulls["app:1"].set()
            await hub.reaches("omega", Phase.RUNNING)
            assert f"start {name('a', 'alpha')}" not in runtime.calls

    virtual_time.run(scenario())


def test_who_runs_keeps_its_port_also_without_a_journal():
    async def scenario() -> None:
        runtime, server = FakeRuntime(), MemoryServer()
        hub, store = Hub(server.connect(), DEVICE), MemoryStore()
        async with device(runtime, server, MemoryStore()):
            await hub.deploy("omega", page())
            await hub.reaches("omega", Phase.RUNNING)
        async with device(runtime, server, store):
            await hub.deploy("alpha", page())
            await is_taken_by(hub, "alpha", "omega")
            runtime.world.remove(name("a", "omega"))
            await asyncio.sleep(60)
            assert runtime.running() == {name("a", "omega")}
            runtime.calls.clear()
        runtime.world.containers.clear()
        async with device(runtime, server, store):
            await hub.reaches("omega", Phase.RUNNING)
            await asyncio.sleep(60)
            assert f"start {name('a', 'alpha')}" not in runtime.calls

    virtual_time.run(scenario())


@pytest.mark.parametrize("order", [("omega", "alpha"), ("alpha", "omega")])
def test_of_a_device_that_comes_back_the_same_one_gets_the_port_in_whatever_order_they_are_told(
    order: tuple[str, str],
):
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        for deployment in order:
            await hub.deploy(deployment, page())
        await hub.reaches("alpha", Phase.RUNNING)
        for deployment in order:
            await hub.withdraw(deployment)
        for deployment in order:
            await hub.is_gone(deployment)
        for deployment in order:
            await hub.deploy(deployment, page())
        await hub.reaches("alpha", Phase.RUNNING)
        await is_taken_by(hub, "omega", "alpha")

    play(scenario)


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def read(self) -> float:
        return self.now


HTTP = Port(host=80, container=80)


def test_of_claims_at_one_moment_the_lower_name_goes_first_and_later_ones_wait():
    clock = Clock()
    ports = Ports(clock.read)
    ports.claim(OMEGA, "default/omega", [HTTP])
    clock.now += ONE_MOMENT_SECONDS
    ports.claim(ALPHA, "default/alpha", [HTTP])
    assert (ports.first(OMEGA, HTTP), ports.first(ALPHA, HTTP)) == ("default/alpha", None)
    clock.now += 0.1
    ports.claim(DeploymentName("a"), "default/a", [HTTP])
    assert ports.first(DeploymentName("a"), HTTP) == "default/alpha"


def test_turns_that_are_recalled_go_before_new_ones():
    before = Ports(Clock().read)
    before.claim(OMEGA, "default/omega", [HTTP])
    after = Ports(Clock().read)
    after.recall({OMEGA: before.turns(OMEGA)})
    after.claim(ALPHA, "default/alpha", [HTTP])
    after.claim(OMEGA, "default/omega", [HTTP])
    assert after.first(ALPHA, HTTP) == "default/omega"


def test_a_port_that_was_given_up_and_is_wanted_again_waits_like_a_new_one():
    clock = Clock()
    ports = Ports(clock.read)
    ports.recall({OMEGA: {spell(HTTP): 1}})
    ports.claim(OMEGA, "default/omega", [HTTP])
    ports.settle(OMEGA, wanted=(), held=())
    ports.claim(ALPHA, "default/alpha", [HTTP])
    clock.now += 60
    ports.claim(OMEGA, "default/omega", [HTTP])
    assert ports.first(OMEGA, HTTP) == "default/alpha"


def test_only_who_waits_for_a_port_is_woken_and_each_protocol_is_a_port_of_its_own():
    woken: list[str] = []
    ports = Ports(Clock().read, wake=woken.append)
    for deployment, protocol in ((OMEGA, Protocol.TCP), (ALPHA, Protocol.UDP)):
        ports.claim(deployment, deployment, [Port(host=80, container=1, protocol=protocol)])
    ports.claim(DeploymentName("a"), "a", [HTTP])
    ports.release(OMEGA)
    assert woken == ["a"]
