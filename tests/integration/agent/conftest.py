"""A real podman per worker, a bus in memory, and an agent between them."""

import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from fleet.agent.deployments.loop import Rhythm
from fleet.agent.runtimes.podman.api.runtime import Options, PodmanRuntime
from fleet.agent.runtimes.podman.images import Keeping
from fleet.bus.memory import MemoryServer
from fleet.contracts.permissions import device_permissions
from tests import nats_server
from tests.agent_device import Hub, running_agent
from tests.integration.agent.agent_process import DEVICE, AgentProcess, make_agent
from tests.nats_server import OPERATOR, NatsServer
from tests.podman_host import ULIMITS, PodmanHost, podman_host

Start = Callable[..., AbstractAsyncContextManager[PodmanRuntime]]


@pytest.fixture(scope="session")
def shared_host() -> Iterator[PodmanHost]:
    """One podman for all tests of this worker."""
    with podman_host() as host:
        yield host


@pytest.fixture
def host(shared_host: PodmanHost) -> Iterator[PodmanHost]:
    """The podman, with no container in it; a test that failed while it was away harms no other."""
    yield shared_host
    shared_host.clear()
    shared_host.start()


@pytest.fixture
def runtime(host: PodmanHost) -> Iterator[PodmanRuntime]:
    """The adapter over that podman."""
    with make_runtime(host) as made:
        yield made


@contextlib.contextmanager
def make_runtime(host: PodmanHost, **options: Any) -> Iterator[PodmanRuntime]:
    """Make an adapter with *options* besides, and close it."""
    own = {"socket": host.socket, "ulimits": ULIMITS, "files": host.root / "files"}
    made = PodmanRuntime(DEVICE, Options(**{"stop_timeout": 1, **own, **options}))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
async def server() -> MemoryServer:
    """The hub's server."""
    return MemoryServer()


@pytest.fixture
async def hub(server: MemoryServer) -> Hub:
    """The operator's side."""
    return Hub(server.connect(), DEVICE)


@pytest.fixture
def start_agent(host: PodmanHost, server: MemoryServer) -> Start:
    """Start an agent with the rights of its device; it ends with the block."""

    @contextlib.asynccontextmanager
    async def start(
        resync: float = 5.0,
        keeping: Keeping = Keeping(),  # noqa: B008 - frozen
        **options: Any,
    ) -> AsyncIterator[PodmanRuntime]:
        bus = server.connect(device_permissions(DEVICE))
        rhythm = Rhythm(resync=resync)
        with make_runtime(host, **options) as runtime:
            async with bus, running_agent(DEVICE, runtime, bus, rhythm=rhythm, keeping=keeping):
                yield runtime

    return start


@pytest.fixture
def nats_hub(tmp_path: Path) -> Iterator[NatsServer]:
    """A NATS server with the rights of operator and device; not started."""
    made = NatsServer(tmp_path, [OPERATOR, nats_server.device(DEVICE)])
    yield made
    made.kill()


@pytest.fixture
async def agent(
    nats_hub: NatsServer, host: PodmanHost, tmp_path: Path
) -> AsyncIterator[AgentProcess]:
    """The agent; not started."""
    made = make_agent(nats_hub, host, tmp_path)
    yield made
    if made.process and made.process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            await made.end(signal.SIGKILL)
