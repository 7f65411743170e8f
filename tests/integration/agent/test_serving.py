"""The agent as a process: real configuration, real NATS with a device's rights, real podman."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fleet.bus import nats, streams
from fleet.contracts import kv, messages
from fleet.contracts.messages import Phase
from tests import nats_server
from tests.agent_device import Hub
from tests.integration.agent.conftest import DEVICE
from tests.integration.agent.test_deploying import sleeper
from tests.nats_server import OPERATOR, NatsServer
from tests.podman_host import PodmanHost
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(90)

PROMPTLY_SECONDS = 5.0


class AgentProcess:
    """`fleet-agent`, started and ended."""

    def __init__(self, config: Path, log: Path) -> None:
        self._environment = {**os.environ, "FLEET_AGENT_CONFIG": str(config)}
        self._log = log
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "fleet.agent.main"), env=self._environment, stderr=log
            )

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and wait for the end."""
        assert self.process
        self.process.send_signal(number)
        async with asyncio.timeout(PROMPTLY_SECONDS):
            return await self.process.wait()

    def events(self) -> list[str]:
        """What it logged."""
        return [json.loads(line)["event"] for line in self._log.read_text().splitlines()]

    def output(self) -> str:
        return self._log.read_text()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """A NATS server with the rights of operator and device; not started."""
    made = NatsServer(tmp_path, [OPERATOR, nats_server.device(DEVICE)])
    yield made
    made.kill()


@pytest.fixture
async def agent(
    server: NatsServer, host: PodmanHost, tmp_path: Path
) -> AsyncIterator[AgentProcess]:
    """The agent; not started."""
    config = tmp_path / "config.toml"
    config.write_text(f"""
device_id = "{DEVICE}"
state_dir = "{tmp_path}/state"
[labels]
site = "lab"
[nats]
url = "{server.url}"
credentials = "{server.credentials(nats_server.device(DEVICE))}"
jitter = 0
[podman]
socket = "{host.socket}"
ulimits = {{nofile = 1024, nproc = 1000}}
stop_timeout = 1
""")
    made = AgentProcess(config, tmp_path / "agent.log")
    yield made
    if made.process and made.process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            await made.end(signal.SIGKILL)


@contextlib.asynccontextmanager
async def operator_side(server: NatsServer) -> AsyncIterator[Hub]:
    """The operator's connection, with the buckets made."""
    bus = await nats.connect(
        server.url,
        credentials=server.credentials(OPERATOR),
        name="operator",
        inbox_prefix=OPERATOR.inbox_prefix,
    )
    async with bus:
        await bus.wait_for_session()
        await streams.ensure_streams(bus)
        yield Hub(bus, DEVICE)


async def test_an_agent_waits_for_the_hub_works_and_ends_promptly_leaving_containers(
    server: NatsServer, agent: AgentProcess, host: PodmanHost
):
    await agent.start()

    async def is_waiting() -> bool:
        return "starting" in agent.events()

    await eventually(is_waiting, "the agent has started")
    server.start()
    async with operator_side(server) as hub:
        await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING, within=40)
        info = await eventually(hub.info, "the device describes itself")
        beats = hub.bus.bucket(messages.DEVICE_HEARTBEAT)
        beat = await beats.get(kv.device_heartbeat_key(DEVICE))
    before = host.containers()
    assert await agent.end() == 0, agent.output()

    assert host.containers() == before
    assert beat is not None
    assert info.labels == {"site": "lab"}
    assert info.score_types == ("PodmanV0",)
    assert info.inventory.runtimes.keys() == {"podman"}
    assert info.problems == ()


async def test_a_wiped_hub_stops_nothing_and_hears_everything_again(
    server: NatsServer, agent: AgentProcess, host: PodmanHost
):
    server.start()
    await agent.start()
    async with operator_side(server) as hub:
        await hub.deploy("web", sleeper("a"))
        revision = (await hub.reaches("web", Phase.RUNNING)).revision
    before = host.containers()
    server.stop()
    server.wipe()
    server.start()
    async with operator_side(server) as hub:
        await hub.reaches("web", Phase.RUNNING, revision=revision, within=40)
        await eventually(hub.info, "the device describes itself again", within=30)
        assert host.containers() == before

        await hub.deploy("web", sleeper("a", env={"NEW": "1"}))
        await hub.reaches("web", Phase.RUNNING)
    assert await agent.end() == 0, agent.output()


async def test_a_killed_agent_resumes_where_it_was(
    server: NatsServer, agent: AgentProcess, host: PodmanHost
):
    server.start()
    await agent.start()
    async with operator_side(server) as hub:
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
