"""A network that no deployment needs goes; one that a container uses, or may soon, stays."""

import asyncio

import pytest

from fleet.agent.deployments.leftovers import Leftovers, needs_network
from fleet.agent.model import intents
from fleet.bus.memory import MemoryServer
from fleet.contracts.messages import Phase
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.contracts.permissions import device_permissions
from fleet.contracts.scores import NetworkMode
from tests import virtual_time
from tests.agent_device import Hub, running_agent
from tests.unit.agent.deployments.test_loop import app, holds
from tests.unit.agent.world import WEB, FakeRuntime, World, container, workload

DEVICE = DeviceId("dev-01")
OTHER = DeploymentName("other")
BRIDGE = intents.Apply("r1", (workload("a"), workload("b", network_mode=NetworkMode.HOST)))
HOST = intents.Apply("r1", (workload("a", network_mode=NetworkMode.HOST),))


@pytest.mark.parametrize(
    ("intent", "needs"),
    [
        (None, False),
        (BRIDGE, True),
        (HOST, False),
        (intents.Keep(), True),
        (intents.Withdraw(), True),
        (intents.Refuse("r2", "X", "odd", BRIDGE), True),
        (intents.Refuse("r2", "X", "odd", HOST), False),
    ],
)
def test_what_may_want_its_network_is_known(intent: intents.Intent | None, needs: bool):
    assert needs_network(intent) is needs


async def test_what_nobody_needs_goes_and_what_a_container_is_in_stays():
    world = World.of([container("a", deployment=OTHER)])
    world.networks = {WEB, OTHER, DeploymentName("wanted")}
    await Leftovers(FakeRuntime(world), {"wanted": BRIDGE}.get).look()
    assert world.networks == {OTHER, DeploymentName("wanted")}


def test_networks_and_files_go_in_time_and_a_runtime_that_is_away_is_waited_for():
    async def stage() -> None:
        server, runtime = MemoryServer(), FakeRuntime()
        hub, bus = Hub(server.connect(), DEVICE), server.connect(device_permissions(DEVICE))
        async with bus, running_agent(DEVICE, runtime, bus):
            await hub.deploy("web", app("a"))
            await hub.reaches("web", Phase.RUNNING)
            assert runtime.world.networks == {WEB}
            revision = await hub.deploy("web", app("a", networkMode="host"))
            await hub.reaches("web", Phase.RUNNING, revision=revision)
            swept = runtime.sweeps
            runtime.is_down = True
            await asyncio.sleep(700)
            runtime.is_down = False
            await holds(lambda: not runtime.world.networks, "no network is left", within=700)
            assert (swept, runtime.sweeps) == (1, 2)

    virtual_time.run(stage())


def test_a_withdrawal_is_told_once_the_network_is_gone():
    async def stage() -> None:
        server, runtime = MemoryServer(), FakeRuntime()
        hub, bus = Hub(server.connect(), DEVICE), server.connect(device_permissions(DEVICE))
        async with bus, running_agent(DEVICE, runtime, bus):
            await hub.deploy("web", app("a"))
            await hub.reaches("web", Phase.RUNNING)
            await hub.withdraw("web")
            await hub.is_gone("web")
            assert not runtime.world.networks

    virtual_time.run(stage())
