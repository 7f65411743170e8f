"""podman's socket is missing, vanishes, hangs, answers slowly: the agent over a real podman."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import structlog

from fleet.agent.deployments.loop import Rhythm
from fleet.agent.runtimes.podman.api.runtime import Options, PodmanRuntime
from fleet.bus.memory import MemoryServer
from fleet.contracts import kv, messages
from fleet.contracts.messages import Phase
from fleet.contracts.permissions import device_permissions
from tests.agent_device import Hub, running_agent
from tests.integration.agent.agent_process import DEVICE
from tests.integration.agent.test_deploying import inspect, sleeper
from tests.integration.agent.test_health import WELL, checked
from tests.podman_host import ULIMITS, PodmanHost
from tests.unix_proxy import UnixProxy, unix_proxy
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(90)

NEVER = 3600.0
WORKERS = 4

Start = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture
def socket(host: PodmanHost, tmp_path: Path) -> Iterator[UnixProxy]:
    """The socket that the agent knows; not there yet."""
    with unix_proxy(tmp_path / "podman.sock", host.root / "podman.sock") as proxy:
        yield proxy


@pytest.fixture
def start_agent(socket: UnixProxy, server: MemoryServer) -> Start:
    """Start an agent that soon loses patience with podman."""

    @asynccontextmanager
    async def start() -> AsyncIterator[None]:
        options = Options(
            socket=socket.address, ulimits=ULIMITS, timeout=2.0, stop_timeout=1, workers=WORKERS
        )
        runtime = PodmanRuntime(DEVICE, options)
        bus = server.connect(device_permissions(DEVICE))
        async with bus, running_agent(DEVICE, runtime, bus, rhythm=Rhythm(resync=NEVER, check=1.0)):
            yield
        runtime.close()

    return start


def podman_threads() -> int:
    """How many threads talk to podman now."""
    return sum(thread.name.startswith("podman") for thread in threading.enumerate())


async def complains(hub: Hub, socket: UnixProxy) -> None:
    """Wait until the device says that podman doesn't answer, and where."""

    async def look() -> bool:
        info = await hub.info()
        return info is not None and any(
            p.reason == "RuntimeUnavailable" and str(socket.path) in p.message
            for p in info.problems
        )

    await eventually(look, "the device complains", within=45)


async def is_content(hub: Hub) -> None:
    """Wait until the device has no problem."""

    async def look() -> bool:
        info = await hub.info()
        return info is not None and not info.problems

    await eventually(look, "the device is content", within=45)


async def still_beats(hub: Hub) -> None:
    """Wait for another heartbeat."""
    beats = hub.bus.bucket(messages.DEVICE_HEARTBEAT)
    before = await beats.get(kv.device_heartbeat_key(DEVICE))

    async def look() -> bool:
        return await beats.get(kv.device_heartbeat_key(DEVICE)) != before

    await eventually(look, "the heart beats", within=30)


def hang(socket: UnixProxy) -> None:
    socket.hang()


def vanish(socket: UnixProxy) -> None:
    socket.vanish()


def appear(socket: UnixProxy) -> None:
    socket.appear()


def be_replaced(socket: UnixProxy) -> None:
    socket.be_replaced()


def last_check(host: PodmanHost) -> str:
    """When the last health check began that podman knows of."""
    return str(inspect(host, "web", "a")["State"]["Health"]["Log"][-1]["Start"])


async def test_a_socket_that_is_missing_at_start_is_told_once_and_waited_for(
    hub: Hub, socket: UnixProxy, start_agent: Start
):
    with structlog.testing.capture_logs() as logs:
        async with start_agent():
            await hub.deploy("web", sleeper("a"))
            await complains(hub, socket)
            socket.appear()
            await hub.reaches("web", Phase.RUNNING, within=40)
            await is_content(hub)
    loud = [e for e in logs if e["log_level"] == "error"]
    assert [e["reason"] for e in loud] == ["RuntimeUnavailable"]


@pytest.mark.parametrize(
    "turn",
    [pytest.param((vanish, appear), id="vanishes"), pytest.param((hang, be_replaced), id="hangs")],
)
async def test_a_socket_that_goes_away_is_told_nothing_else_stops_and_its_return_is_noticed(
    hub: Hub,
    host: PodmanHost,
    socket: UnixProxy,
    start_agent: Start,
    turn: tuple[Callable[[UnixProxy], None], Callable[[UnixProxy], None]],
):
    goes, returns = turn
    socket.appear()
    async with start_agent():
        for number in range(6):
            await hub.deploy(f"web-{number}", sleeper("a"))
        revision = await hub.deploy("web", checked("a", WELL))
        await hub.reaches("web", Phase.RUNNING, within=40)
        for number in range(6):
            await hub.reaches(f"web-{number}", Phase.RUNNING, within=40)
        before = host.containers()

        goes(socket)
        await complains(hub, socket)
        await hub.deploy("new", sleeper("a"))
        await still_beats(hub)
        state = await hub.reaches("web", Phase.RUNNING, revision=revision)
        assert state.error is None
        assert host.containers() == before
        # Workers, a follower of events, and what waits for the one health check.
        assert podman_threads() <= WORKERS + 2

        returns(socket)
        seen = last_check(host)

        async def is_checked() -> bool:
            return last_check(host) != seen

        await hub.reaches("new", Phase.RUNNING, within=60)
        await is_content(hub)
        await eventually(is_checked, "health is checked again", within=30)
        await hub.reaches("web", Phase.RUNNING, revision=revision)
        assert {n: i for n, i in host.containers().items() if n != "fleet.new.a"} == before
        # Events are heard again, and no resync helps.
        host.podman("kill", "fleet.web-1.a")

        async def runs_again() -> bool:
            names = host.podman("ps", "--format={{.Names}}").split()
            return "fleet.web-1.a" in names

        await eventually(runs_again, "the container runs again", within=30)


async def test_a_socket_that_answers_slowly_is_borne_with(
    hub: Hub, socket: UnixProxy, start_agent: Start
):
    socket.delay = 0.5
    socket.appear()
    async with start_agent():
        await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING, within=60)
        await is_content(hub)
