"""A device that gets another id: the whole agent over a real podman, and a journal on disk."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleet.agent.deployments.loop import Rhythm
from fleet.agent.journal import files
from fleet.agent.runtimes.podman.api.runtime import Options, PodmanRuntime
from fleet.bus.memory import MemoryServer
from fleet.contracts import containers
from fleet.contracts.messages import Phase
from fleet.contracts.names import DeviceId
from fleet.contracts.permissions import device_permissions
from tests.agent_device import Hub, running_agent
from tests.integration.agent.agent_process import DEVICE
from tests.integration.agent.test_deploying import inspect, sleeper
from tests.podman_host import ULIMITS, PodmanHost
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(60)

RENAMED = DeviceId("cabinet-7")


@contextlib.asynccontextmanager
async def agent(
    device: DeviceId, host: PodmanHost, server: MemoryServer, state: Path, resync: float = 5.0
) -> AsyncIterator[Hub]:
    """Run the agent of *device*; its hub's side."""
    runtime = PodmanRuntime(device, Options(socket=host.socket, ulimits=ULIMITS, stop_timeout=1))
    rhythm = Rhythm(resync=resync)
    store, records = files.FileStore(state), files.FileStore(state, files.RECORD)
    try:
        async with (
            server.connect(device_permissions(device)) as bus,
            running_agent(device, runtime, bus, store, records=records, rhythm=rhythm),
        ):
            yield Hub(server.connect(), device)
    finally:
        runtime.close()


async def only(host: PodmanHost, *names: str) -> None:
    """Wait until there are just these containers."""

    async def look() -> bool:
        return set(host.containers()) == set(names)

    await eventually(look, f"there are just {names}", within=20)


async def test_a_device_that_was_renamed_goes_on_with_its_containers(
    host: PodmanHost, server: MemoryServer, tmp_path: Path
):
    services = [sleeper("a"), sleeper("b")]
    async with agent(DEVICE, host, server, tmp_path) as hub:
        await hub.deploy("web", *services)
        await hub.deploy("old", sleeper("c"))
        await hub.reaches("web", Phase.RUNNING)
        await hub.reaches("old", Phase.RUNNING)
    before = host.containers()

    async with agent(RENAMED, host, server, tmp_path) as hub:
        # Of what it runs it tells under its new id; nothing is made anew.
        revision = (await hub.reaches("web", Phase.RUNNING)).revision
        await hub.reaches("old", Phase.RUNNING)
        assert await hub.deploy("web", *services) == revision
        await hub.withdraw("old")
        await hub.is_gone("old")
        await only(host, "fleet.web.a", "fleet.web.b")
    # A second start finds entries of the new id.
    async with agent(RENAMED, host, server, tmp_path, resync=1000.0) as hub:
        await hub.reaches("web", Phase.RUNNING, running="a")
        host.podman("kill", "fleet.web.a")

        async def runs_again() -> bool:
            state = inspect(host, "web", "a")["State"]
            return bool(
                state["Running"] and host.containers()["fleet.web.a"] != before["fleet.web.a"]
            )

        await eventually(runs_again, "what was killed runs again", within=20)
        after = host.containers()
        assert after["fleet.web.b"] == before["fleet.web.b"]
        assert after["fleet.web.a"].split(":")[0] == before["fleet.web.a"].split(":")[0]

        revision = await hub.deploy("web", sleeper("a", env={"NEW": "1"}), services[1])
        await hub.reaches("web", Phase.RUNNING, revision=revision)
        assert inspect(host, "web", "a")["Config"]["Labels"][containers.LABEL_DEVICE] == RENAMED
        assert host.containers()["fleet.web.b"] == before["fleet.web.b"]


async def test_events_of_containers_that_bear_a_former_id_are_told(
    host: PodmanHost, server: MemoryServer, tmp_path: Path
):
    async with agent(DEVICE, host, server, tmp_path) as hub:
        await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING)
    runtime = PodmanRuntime(RENAMED, Options(socket=host.socket))
    runtime.vouch(frozenset([DEVICE]))
    async with contextlib.aclosing(runtime.changes()) as changes:
        assert await anext(changes) is None, "the stream stands"
        host.podman("kill", "fleet.web.a")
        assert await asyncio.wait_for(anext(changes), 20) == "web"
    runtime.close()


async def test_without_its_journal_it_says_whose_the_containers_are_and_what_to_type(
    host: PodmanHost, server: MemoryServer, tmp_path: Path
):
    async with agent(DEVICE, host, server, tmp_path / "one") as hub:
        await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING)
    before = host.containers()
    async with agent(RENAMED, host, server, tmp_path / "other") as hub:
        await hub.deploy("web", sleeper("a"))
        state = await hub.reaches("web", Phase.FAILED, reason="NameTaken")
        assert state.error
        assert f"a container of device {DEVICE}" in state.error.message
        assert f'set device_id = "{DEVICE}"' in state.error.message
        assert host.containers() == before
        command = state.error.message.split("`")[1]
        host.run(*command.split(), "--time=0")
        await eventually(lambda: says_of_the_network(hub), "the network is told of", within=40)
        host.podman("network", "rm", "fleet.web")
        await hub.reaches("web", Phase.RUNNING, within=40)


async def says_of_the_network(hub: Hub) -> bool:
    """Tell whether the network of the other id is what is in the way."""
    state = await hub.state("web")
    return bool(state and state.error and "`podman network rm fleet.web`" in state.error.message)
