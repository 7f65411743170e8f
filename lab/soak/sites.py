"""
What one lane of the soak breaks: one server or a cluster of three, and the routes to them.

Each bus of a lane has a route of its own: a proxy before each server, so that a fault may hit what
stands between the two. The reader goes to the servers directly.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fleet.contracts.names import DeviceId
from fleet.contracts.permissions import (
    OPERATOR_INBOX_PREFIX,
    device_permissions,
    inbox_prefix,
    operator_permissions,
)
from fleet.scores import nats_server
from lab import ports
from lab.broker import credentials
from lab.broker.credentials import BrokerUser
from lab.soak.proxy import TcpProxy, proxying
from lab.soak.server import Server

CLUSTER = 3
_HOST = "127.0.0.1"
_used: set[int] = set()


@dataclass(frozen=True, slots=True)
class Route:
    """The way of one user to the servers: a proxy before each."""

    user: BrokerUser
    inbox_prefix: str
    proxies: tuple[TcpProxy, ...]

    @property
    def url(self) -> str:
        """Where the user's bus connects."""
        return ",".join(f"nats://{_HOST}:{proxy.port}" for proxy in self.proxies)

    @property
    def open(self) -> int:
        """How many connections stand."""
        return sum(proxy.open for proxy in self.proxies)

    @property
    def connected_to(self) -> int:
        """The number of the server that carries the user now; the first where none does."""
        numbers = [number for number, proxy in enumerate(self.proxies) if proxy.open]
        return numbers[0] if numbers else 0

    @property
    def accepted(self) -> int:
        """How many connections were ever begun."""
        return sum(proxy.accepted for proxy in self.proxies)


@dataclass(frozen=True, slots=True)
class Site:
    """Servers, and the routes of a device's agent and of the operator to them."""

    device: DeviceId
    servers: tuple[Server, ...]
    agent: Route
    operator: Route
    admin: BrokerUser

    @property
    def routes(self) -> tuple[Route, ...]:
        """All routes."""
        return self.agent, self.operator

    @property
    def proxies(self) -> tuple[TcpProxy, ...]:
        """All proxies."""
        return tuple(proxy for route in self.routes for proxy in route.proxies)

    @property
    def replicas(self) -> int:
        """How often each value is to be stored."""
        return len(self.servers)

    @property
    def urls(self) -> tuple[str, ...]:
        """Where the servers themselves listen."""
        return tuple(f"nats://{_HOST}:{server.port}" for server in self.servers)


@asynccontextmanager
async def running(directory: Path, device: DeviceId, size: int) -> AsyncIterator[Site]:
    """Run *size* servers with their files in *directory*, until the block ends."""
    users = _users(directory, device)
    servers = _servers(directory, users, size)
    try:
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in servers))
        async with AsyncExitStack() as stack:
            admin, operator, agent = users
            yield Site(
                device,
                servers,
                await _route(stack, servers, agent, inbox_prefix(device)),
                await _route(stack, servers, operator, OPERATOR_INBOX_PREFIX),
                admin,
            )
    finally:
        for server in servers:
            server.kill()


def _port() -> int:
    """Find a port that is no other server's or proxy's of this process, also while that is down."""
    while (port := ports.free()) in _used:
        pass
    _used.add(port)
    return port


async def _route(
    stack: AsyncExitStack, servers: Sequence[Server], user: BrokerUser, prefix: str
) -> Route:
    proxies = [
        await stack.enter_async_context(proxying((_HOST, server.port), _port()))
        for server in servers
    ]
    return Route(user, prefix, tuple(proxies))


def _users(directory: Path, device: DeviceId) -> tuple[BrokerUser, ...]:
    users = (
        BrokerUser("admin", directory / "admin.json"),
        BrokerUser("operator", directory / "operator.json", operator_permissions()),
        BrokerUser(device, directory / "agent.json", device_permissions(device)),
    )
    for user in users:
        credentials.ensure(user)
    return users


def _servers(directory: Path, users: Sequence[BrokerUser], size: int) -> tuple[Server, ...]:
    routes = [_port() for _ in range(size)] if size > 1 else []
    return tuple(_server(directory / f"nats-{n}", users, n, routes) for n in range(size))


def _server(
    directory: Path, users: Sequence[BrokerUser], number: int, routes: Sequence[int]
) -> Server:
    directory.mkdir(parents=True, exist_ok=True)
    wanted = nats_server.NatsServer(
        name=f"soak-{number}",
        store=str(directory / "store"),
        users=tuple(map(credentials.server_user, users)),
        address=_HOST,
        port=_port(),
        monitor=f"{_HOST}:-1",  # any: nobody asks
    )
    config = directory / "nats.conf"
    config.write_text(nats_server.render(wanted) + _cluster(number, routes))
    return Server(config, wanted.port)


def _cluster(number: int, routes: Sequence[int]) -> str:
    """Render what makes a server one of several; clients are told of the proxies alone."""
    if not routes:
        return ""
    peers = json.dumps([f"nats://{_HOST}:{port}" for port in routes])
    listen = json.dumps(f"{_HOST}:{routes[number]}")
    return f"cluster {{ name: soak, listen: {listen}, routes: {peers}, no_advertise: true }}\n"
