"""
The two sides of a bus under test: what the contract suite needs of each.

`Memory` and `Nats` answer the same questions, so that one suite runs over both.
The clients are confined exactly as in production.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from fleet.bus import jetstream, memory, nats, streams
from fleet.bus.port import Bus
from fleet.contracts.names import DeviceId
from fleet.contracts.permissions import device_permissions, operator_permissions
from tests import nats_server
from tests.tcp_proxy import TcpProxy

DEVICE = DeviceId("pi-01")
OTHER = DeviceId("pi-02")
PACE = nats.Pace(
    heartbeat=timedelta(seconds=0.5),
    jitter=timedelta(0),
    longest_retry=timedelta(seconds=0.2),
)
PATIENCE = 10.0
POLL = 0.05


class Harness(Protocol):
    """A server, an operator and the agents of two devices."""

    @property
    def operator(self) -> Bus: ...
    @property
    def agent(self) -> Bus: ...
    @property
    def other(self) -> Bus: ...

    async def make_buckets(self) -> None:
        """As the operator does."""

    async def restart(self) -> None:
        """Kill the server, and start it with what it had stored."""

    async def start_anew(self) -> None:
        """Kill the server, and start it with nothing."""

    async def post(self, bucket: str, key: str, data: bytes) -> None:
        """Write any bytes at any key, as nobody ought to."""

    def freeze(self) -> None:
        """Have the server answer nothing, while connections stand."""

    def thaw(self) -> None:
        """Have it answer again."""


class Memory:
    """The bus in memory."""

    def __init__(self) -> None:
        self.server = memory.MemoryServer(with_buckets=False)
        self.operator = self.server.connect(operator_permissions())
        self.agent = self.server.connect(device_permissions(DEVICE))
        self.other = self.server.connect(device_permissions(OTHER))

    async def make_buckets(self) -> None:
        self.server.make_buckets()

    async def restart(self) -> None:
        self.server.stop()
        self.server.start()

    async def start_anew(self) -> None:
        self.server.stop()
        self.server.drop_buckets()
        self.server.start()

    async def post(self, bucket: str, key: str, data: bytes) -> None:
        self.server.write_raw(bucket, key, data)

    def freeze(self) -> None:
        self.server.freeze()

    def thaw(self) -> None:
        self.server.thaw()


class Nats:
    """The bus over a real server."""

    def __init__(self, server: nats_server.NatsServer, buses: list[nats.NatsBus]) -> None:
        self.server = server
        self.operator, self.agent, self.other, self.admin = buses

    async def make_buckets(self) -> None:
        await streams.ensure_streams(self.operator)

    async def restart(self) -> None:
        await self._stop()
        self.server.start()
        await self._reconnected()

    async def start_anew(self) -> None:
        await self._stop()
        self.server.wipe()
        self.server.start()
        await self._reconnected()

    async def post(self, bucket: str, key: str, data: bytes) -> None:
        await self.admin.require().request(jetstream.subject(bucket, key), data)

    def freeze(self) -> None:
        self.server.pause()

    def thaw(self) -> None:
        self.server.resume()

    async def _stop(self) -> None:
        self.server.kill()
        for bus in (self.operator, self.agent, self.other, self.admin):
            await until_disconnected(bus)

    async def _reconnected(self) -> None:
        for bus in (self.operator, self.agent, self.other, self.admin):
            await bus.wait_for_session()


@asynccontextmanager
async def nats_harness(directory: Path) -> AsyncIterator[Nats]:
    """Run a server, and connect everybody to it."""
    users = [
        nats_server.OPERATOR,
        nats_server.device(DEVICE),
        nats_server.device(OTHER),
        nats_server.ADMIN,
    ]
    with nats_server.running_nats(directory, users) as server:
        buses = [await connect(server, user) for user in users]
        try:
            yield Nats(server, buses)
        finally:
            for bus in buses:
                await bus.close()


async def connect(
    server: nats_server.NatsServer,
    user: nats_server.User,
    pace: nats.Pace = PACE,
    *,
    through: TcpProxy | None = None,
) -> nats.NatsBus:
    """Connect as *user*, and wait until it stands."""
    bus = await nats.connect(
        f"nats://127.0.0.1:{through.port}" if through else server.url,
        credentials=server.credentials(user),
        name=user.name,
        inbox_prefix=user.inbox_prefix,
        pace=pace,
    )
    await bus.wait_for_session()
    return bus


async def until(what: str, probe: Callable[[], Awaitable[bool]]) -> None:
    """Wait until *probe* says yes; *what* is what the test waited for in vain."""
    for _ in range(int(PATIENCE / POLL)):
        if await probe():
            return
        await asyncio.sleep(POLL)
    raise AssertionError(f"not within {PATIENCE:g} s: {what}")


async def until_disconnected(bus: Bus) -> None:
    """Wait until *bus* has noticed that the server is gone."""
    async with asyncio.timeout(PATIENCE):
        while bus.connected:
            await bus.wait_for_change()


async def following(events: AsyncGenerator[Any, None]) -> Any:
    """Take the next event of a watch, within reason."""
    async with asyncio.timeout(PATIENCE):
        return await anext(events)
