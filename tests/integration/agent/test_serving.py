"""The agent as a process: real configuration, real NATS with a device's rights, real podman."""

import os
import signal
from pathlib import Path

import pytest

from fleet.contracts import kv, messages
from fleet.contracts.messages import Phase
from tests.integration.agent.agent_process import DEVICE, AgentProcess, operator_side
from tests.integration.agent.test_deploying import sleeper
from tests.nats_server import NatsServer
from tests.podman_host import PodmanHost
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(90)


async def test_an_agent_waits_for_the_hub_works_and_ends_promptly_leaving_containers(
    nats_hub: NatsServer, agent: AgentProcess, host: PodmanHost
):
    await agent.start()

    async def is_waiting() -> bool:
        return "starting" in agent.events()

    await eventually(is_waiting, "the agent has started")
    nats_hub.start()
    async with operator_side(nats_hub) as hub:
        await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING, within=40)
        info = await eventually(hub.info, "the device describes itself")
        beats = hub.bus.bucket(messages.DEVICE_HEARTBEAT)
        beat_key = kv.device_heartbeat_key(DEVICE)
        await eventually(lambda: beats.get(beat_key), "the device is heard")
    before = host.containers()
    assert await agent.end() == 0, agent.output()

    assert host.containers() == before
    assert info.labels == {"site": "lab"}
    assert info.score_types == ("PodmanV0",)
    assert info.inventory.runtimes.keys() == {"podman"}
    assert info.problems == ()


async def test_a_wiped_hub_stops_nothing_and_hears_everything_again(
    nats_hub: NatsServer, agent: AgentProcess, host: PodmanHost
):
    nats_hub.start()
    await agent.start()
    async with operator_side(nats_hub) as hub:
        await hub.deploy("web", sleeper("a"))
        revision = (await hub.reaches("web", Phase.RUNNING)).revision
    before = host.containers()
    nats_hub.stop()
    nats_hub.wipe()
    nats_hub.start()
    async with operator_side(nats_hub) as hub:
        await hub.reaches("web", Phase.RUNNING, revision=revision, within=40)
        await eventually(hub.info, "the device describes itself again", within=30)
        assert host.containers() == before

        await hub.deploy("web", sleeper("a", env={"NEW": "1"}))
        await hub.reaches("web", Phase.RUNNING)
    assert await agent.end() == 0, agent.output()


async def test_a_killed_agent_resumes_where_it_was(
    nats_hub: NatsServer, agent: AgentProcess, host: PodmanHost
):
    nats_hub.start()
    await agent.start()
    async with operator_side(nats_hub) as hub:
        await hub.deploy("web", sleeper("a"), sleeper("b"))
        await hub.reaches("web", Phase.RUNNING)
        before = host.containers()
        await agent.end(signal.SIGKILL)

        await agent.start()
        revision = await hub.deploy("web", sleeper("a"), sleeper("b"), sleeper("c"))
        await hub.reaches("web", Phase.RUNNING, revision=revision, within=40)
        after = host.containers()
    assert {name: after[name] for name in before} == before
    assert await agent.end() == 0


async def test_a_bad_configuration_ends_it_with_a_reason(tmp_path: Path, agent: AgentProcess):
    (tmp_path / "config.toml").write_text('device_id = "Not.A.Label"\n[nats]\nurl = "nats://x"\n')
    await agent.start()
    assert agent.process
    assert await agent.process.wait() == os.EX_CONFIG
    assert "config.toml:1: device_id: " in agent.output()
