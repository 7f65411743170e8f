"""Containers that are slow to stop, or that others depend on: over a real podman."""

import asyncio
import json

import pytest

from fleet import errors
from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman.api.runtime import Options, PodmanRuntime
from fleet.contracts import scores
from fleet.contracts.messages import Phase
from fleet.contracts.names import DeploymentName
from tests import device_nodes
from tests.agent_device import Hub
from tests.integration.agent.agent_process import DEVICE
from tests.integration.agent.conftest import Start
from tests.integration.agent.test_deploying import inspect, script, sleeper
from tests.integration.agent.test_podman import workload
from tests.podman_host import IMAGE, ULIMITS, PodmanHost
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(60)

SLOW = DeploymentName("slow")
STUBBORN = "trap 'echo told' TERM; echo ready; while true; do sleep 0.1; done"


def stubborn(name: str, *, stop_timeout: int) -> Workload:
    """A service that ignores SIGTERM."""
    service = scores.Service(
        name=name,
        image=IMAGE,
        command=("/bin/sh", "-c", STUBBORN),
        network_mode=scores.NetworkMode.NONE,
        stop_timeout=stop_timeout,
    )
    return Workload(SLOW, service, "d1")


async def run(runtime: PodmanRuntime, host: PodmanHost, made: Workload) -> None:
    """Start a stubborn service, and wait until it is."""
    await runtime.create(made)
    await runtime.start(made.name)
    await said(host, made, "ready")


async def said(host: PodmanHost, made: Workload, word: str) -> None:
    """Wait until a stubborn service has said a word."""

    async def has_said() -> bool:
        return word in host.podman("logs", made.name)

    await eventually(has_said, f"{made.name} says {word}")


async def test_services_that_are_slow_to_stop_keep_no_other_waiting(host: PodmanHost):
    runtime = PodmanRuntime(DEVICE, Options(socket=host.socket, ulimits=ULIMITS, workers=2))
    slow = [stubborn(name, stop_timeout=600) for name in "abc"]
    other = workload()
    for each in slow:
        await run(runtime, host, each)
    removals = [asyncio.create_task(runtime.remove(each.name)) for each in slow]
    for each in slow:
        await said(host, each, "told")
    async with asyncio.timeout(15):
        await runtime.create(other)
        await runtime.start(other.name)
        assert len(await runtime.observe()) == 4
    assert not any(removal.done() for removal in removals)
    # podman removes what is being stopped, by force too, and lets it run on.
    host.podman("kill", *(each.name for each in slow))
    await asyncio.wait(removals)
    runtime.close()


async def test_a_service_that_is_slow_to_stop_holds_up_no_sibling(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    slow = script("slow", STUBBORN, stopTimeout=600, networkMode="none")
    async with start_agent():
        await hub.deploy("web", slow, sleeper("a"), sleeper("b"))
        await hub.reaches("web", Phase.RUNNING)
        before = host.containers()
        newer = {"env": {"NEW": "1"}}
        revision = await hub.deploy("web", slow | newer, sleeper("a", **newer), sleeper("b"))
        await is_another(host, "fleet.web.a", before)
        assert stops(host, "slow")
        host.podman("kill", "fleet.web.b")
        await is_another(host, "fleet.web.b", before)
        assert stops(host, "slow")
        state = await hub.reaches("web", Phase.PENDING, revision=revision)
        assert ("slow", "stopping") in {(s.name, s.state) for s in state.services}
        host.podman("kill", "fleet.web.slow")
        await hub.reaches("web", Phase.RUNNING, revision=revision)
        assert host.containers()["fleet.web.slow"] != before["fleet.web.slow"]


async def test_what_waits_for_a_service_that_is_slow_to_stop_is_pending_and_its_sibling_is_repaired(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    slow = {"stopTimeout": 600, "networkMode": "none"}
    async with start_agent():
        await hub.deploy("web", script("old", STUBBORN, **slow), sleeper("x"))
        await hub.reaches("web", Phase.RUNNING)
        before = host.containers()
        revision = await hub.deploy("web", script("new", STUBBORN, **slow), sleeper("x"))
        await hub.reaches("web", Phase.PENDING, revision=revision)

        async def is_stopping() -> bool:
            return stops(host, "old")

        await eventually(is_stopping, "the service under its old name is being stopped")
        host.podman("kill", "fleet.web.x")
        await is_another(host, "fleet.web.x", before)
        assert stops(host, "old")
        state = await hub.reaches("web", Phase.PENDING, revision=revision)
        assert ("new", "missing") in {(s.name, s.state) for s in state.services}
        assert state.error is None
        host.podman("kill", "fleet.web.old")
        await hub.reaches("web", Phase.RUNNING, revision=revision)
        assert "fleet.web.old" not in host.containers()


async def test_a_device_is_handed_over_once_who_has_it_has_stopped(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    with device_nodes.nodes() as nodes:
        devices = [{"path": nodes.plug("ttyUSB0"), "containerPath": "/dev/x"}]
        a = script("a", STUBBORN, stopTimeout=600, networkMode="none")
        async with start_agent():
            await hub.deploy("web", a | {"devices": devices}, sleeper("b"), sleeper("x"))
            await hub.reaches("web", Phase.RUNNING)
            before = host.containers()
            revision = await hub.deploy("web", a, sleeper("b", devices=devices), sleeper("x"))

            async def waits() -> bool:
                return stops(host, "a") and "fleet.web.b" not in host.containers()

            await eventually(waits, "a is being stopped, and b waits")
            host.podman("kill", "fleet.web.x")
            await is_another(host, "fleet.web.x", before)
            state = await hub.reaches("web", Phase.PENDING, revision=revision)
            assert state.error is None
            host.podman("kill", "fleet.web.a")
            await hub.reaches("web", Phase.RUNNING, revision=revision)


async def is_another(host: PodmanHost, name: str, before: dict[str, str]) -> None:
    """Wait until a container runs that is not, or was not started as, the one *before*."""

    async def look() -> bool:
        now = host.containers().get(name, before[name])
        running = host.podman("ps", "--format={{.Names}}").split()
        return now != before[name] and name in running

    await eventually(look, f"another run of {name}")


def stops(host: PodmanHost, service: str) -> bool:
    """Tell whether a service is being stopped."""
    return bool(inspect(host, "web", service)["State"]["Status"] == "stopping")


async def test_a_container_is_removed_amid_its_restart_within_one_stop_timeout(
    host: PodmanHost, runtime: PodmanRuntime
):
    made = stubborn("a", stop_timeout=2)
    await run(runtime, host, made)
    began = asyncio.get_running_loop().time()
    restart = asyncio.create_task(runtime.restart(made.name))
    await said(host, made, "told")
    restart.cancel()
    await runtime.remove(made.name)
    assert asyncio.get_running_loop().time() - began < 3.9
    assert host.containers() == {}


async def test_a_container_that_another_depends_on_serves_on_and_is_told_of(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING)
        before = host.containers()["fleet.web.a"]
        host.podman(
            *("run", "--detach", "--name=probe", "--network=container:fleet.web.a"),
            *(IMAGE, "/bin/sleep", "1000"),
        )
        revision = await hub.deploy("web", sleeper("a", env={"NEW": "1"}))
        state = await hub.reaches("web", Phase.FAILED, reason="ContainerInUse", revision=revision)
        assert state.error
        assert "can't be removed: probe, not Fleet's, depends on it" in state.error.message
        assert host.containers()["fleet.web.a"] == before

        host.podman("kill", "fleet.web.a")

        async def serves() -> bool:
            return bool(inspect(host, "web", "a")["State"]["Running"])

        await eventually(serves, "the old version serves on")
        host.podman("rm", "--force", "--time=0", "probe")
        revision = await hub.deploy("web", sleeper("a", env={"NEW": "2"}))
        await hub.reaches("web", Phase.RUNNING, revision=revision)


async def test_a_withdrawal_that_somebody_elses_container_holds_up_says_so_until_it_is_gone(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        revision = await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING)
        host.podman("create", "--name=probe", "--network=container:fleet.web.a", IMAGE)
        await hub.withdraw("web")
        state = await hub.reaches("web", Phase.FAILED, reason="ContainerInUse", revision=revision)
        assert state.error
        assert "fleet.web.a can't be removed: probe" in state.error.message
        host.podman("rm", "probe")
        await hub.is_gone("web", within=40)


async def test_a_container_that_requires_ours_is_found_however_it_does(
    host: PodmanHost, runtime: PodmanRuntime
):
    made = workload()
    await runtime.create(made)
    host.podman("create", "--name=probe", f"--requires={made.name}", "--network=none", IMAGE)
    with pytest.raises(errors.ContainerInUse, match="probe"):
        await runtime.remove(made.name)
    host.podman("rm", "probe")
    await runtime.remove(made.name)
    assert json.loads(host.podman("ps", "--all", "--format=json")) == []
