"""What ran, and does not run again: real NATS, real podman, a real disk."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from fleet.contracts.messages import DeploymentState, Phase
from tests.agent_device import Hub
from tests.integration.agent.agent_process import AgentProcess, operator_side
from tests.integration.agent.test_deploying import script
from tests.nats_server import NatsServer
from tests.podman_host import PodmanHost
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(90)


def counted(name: str, rest: str, policy: str, directory: Path) -> dict[str, Any]:
    """A service that leaves a line in *directory* each time that it runs."""
    volume = {"hostPath": str(directory), "mountPath": "/runs"}
    text = f"echo run >> /runs/{name}; {rest}"
    return script(name, text, restartPolicy=policy, volumes=[volume])


def runs(directory: Path) -> dict[str, int]:
    """How often each service ran."""
    return {path.name: len(path.read_text().splitlines()) for path in directory.iterdir()}


async def says(hub: Hub, **states: str) -> DeploymentState:
    """Wait until the hub is told these states of services."""

    async def look() -> DeploymentState | None:
        state = await hub.state("job")
        found = {s.name: str(s.state) for s in state.services} if state else {}
        return state if found == states else None

    return await eventually(look, f"{states} is told", within=30)


async def ran(directory: Path, **times: int) -> None:
    """Wait until the services have run so often."""

    async def look() -> bool:
        return runs(directory) == times

    await eventually(look, f"they have run {times} times", within=30)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where services leave a line."""
    made = tmp_path / "runs"
    made.mkdir()
    return made


async def test_what_has_ended_does_not_run_again_though_its_container_was_pruned(
    nats_hub: NatsServer, agent: AgentProcess, host: PodmanHost, directory: Path
):
    nats_hub.start()
    await agent.start()
    async with operator_side(nats_hub) as hub:
        await hub.deploy(
            "job",
            counted("never", "exit 0", "Never", directory),
            counted("on-failure", "exit 0", "OnFailure", directory),
            counted("always", "sleep 1000", "Always", directory),
        )
        ended = {"never": "exited", "on-failure": "exited"}
        await says(hub, always="running", **ended)
        nats_hub.stop()
        await agent.end(signal.SIGKILL)
        host.podman("kill", "fleet.job.always")
        host.podman("container", "prune", "--force")
        assert host.containers() == {}

        await agent.start()
        await ran(directory, **{"always": 2, "never": 1, "on-failure": 1})
        nats_hub.start()
    async with operator_side(nats_hub) as hub:
        await hub.reaches("job", Phase.RUNNING, running="always", within=30)
        await says(hub, always="running", **ended)
    assert set(host.containers()) == {"fleet.job.always"}
    assert runs(directory) == {"always": 2, "never": 1, "on-failure": 1}
    assert await agent.end() == 0, agent.output()


async def test_after_a_power_cut_what_never_runs_twice_stays_down_and_the_others_run_again(
    nats_hub: NatsServer, agent: AgentProcess, host: PodmanHost, directory: Path
):
    nats_hub.start()
    await agent.start()
    async with operator_side(nats_hub) as hub:
        job = [
            counted("never", "sleep 1000", "Never", directory),
            counted("on-failure", "sleep 1000", "OnFailure", directory),
        ]
        await hub.deploy("job", *job)
        await hub.reaches("job", Phase.RUNNING, within=30)
        await says(hub, never="running", **{"on-failure": "running"})
        await agent.end(signal.SIGKILL)
        await asyncio.to_thread(host.reboot)

        await agent.start()
        await ran(directory, **{"never": 1, "on-failure": 2})
        state = await hub.reaches("job", Phase.FAILED, reason="Interrupted", within=30)
        assert state.error
        assert state.error.service == "never"
        assert runs(directory) == {"never": 1, "on-failure": 2}

        host.podman("rm", "fleet.job.never")
        host.podman("kill", "fleet.job.on-failure")
        await ran(directory, **{"never": 1, "on-failure": 3})
        await hub.reaches("job", Phase.FAILED, reason="Interrupted", within=30)

        job[0]["env"] = {"ROUND": "2"}
        revision = await hub.deploy("job", *job)
        await hub.reaches("job", Phase.RUNNING, revision=revision, within=30)
        await ran(directory, **{"never": 2, "on-failure": 3})
    assert await agent.end() == 0, agent.output()


async def is_called(host: PodmanHost, container: str, *states: str) -> None:
    """Wait until podman calls a container so."""

    async def look() -> bool:
        found = host.podman("inspect", "--format={{.State.Status}}", container, check=False)
        return found in states

    await eventually(look, f"{container} is {states}", within=20)


async def test_what_an_agent_stopped_that_was_killed_amid_the_stop_runs_again(
    nats_hub: NatsServer, agent: AgentProcess, host: PodmanHost, directory: Path
):
    rest = "trap 'sleep 2; exit 0' TERM; while true; do sleep 0.1; done"
    worker = counted("a", rest, "OnFailure", directory) | {"stopTimeout": 20}
    nats_hub.start()
    await agent.start()
    async with operator_side(nats_hub) as hub:
        await hub.deploy("job", worker)
        await hub.reaches("job", Phase.RUNNING, within=30)
        await hub.deploy("job", {**worker, "env": {"NEW": "1"}})
        await is_called(host, "fleet.job.a", "stopping")
        await agent.end(signal.SIGKILL)
        await is_called(host, "fleet.job.a", "exited", "stopped")
        await hub.deploy("job", worker)
        await agent.start()
        await ran(directory, a=2)
        await says(hub, a="running")
