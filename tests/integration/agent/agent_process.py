"""The agent as a process, and the operator's side of its hub."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from fleet.bus import nats, streams
from fleet.contracts.names import DeviceId
from tests import nats_server
from tests.agent_device import Hub
from tests.nats_server import OPERATOR, NatsServer
from tests.podman_host import PodmanHost

DEVICE = DeviceId("dev-01")
PROMPTLY_SECONDS = 10.0


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

    async def ask(self, *arguments: str) -> tuple[int, str]:
        """Run another command of it, and return its exit status and what it printed."""
        asked = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fleet.agent.main", *arguments),
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await asked.communicate()
        return asked.returncode or 0, printed.decode()

    def events(self) -> list[str]:
        """What it logged."""
        return [json.loads(line)["event"] for line in self._log.read_text().splitlines()]

    def output(self) -> str:
        return self._log.read_text()


def make_agent(hub: NatsServer, host: PodmanHost, directory: Path) -> AgentProcess:
    """Configure an agent that keeps its files in *directory*; not started."""
    config = directory / "config.toml"
    config.write_text(f"""
device_id = "{DEVICE}"
state_dir = "{directory}/state"
[labels]
site = "lab"
[nats]
url = "{hub.url}"
credentials = "{hub.credentials(nats_server.device(DEVICE))}"
jitter = 0
[podman]
socket = "{host.socket}"
ulimits = {{nofile = 1024, nproc = 1000}}
stop_timeout = 1
""")
    return AgentProcess(config, directory / "agent.log")


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
