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
from lab.services.broker import credentials
from lab.services.broker.credentials import BrokerUser
from lab.soak.hub import certificates
from lab.soak.hub.certificates import Certificates
from lab.soak.hub.proxy import TcpProxy, proxying
from lab.soak.hub.server import Server
from lab.system import ports

CLUSTER = 3
_HOST = "127.0.0.1"


class Ports:
    """The ports of one run: none is given twice, also while what has it is down."""

    def __init__(self) -> None:
        self._given: set[int] = set()

    def next(self) -> int:
        """Give one."""
        while (port := ports.free()) in self._given:
            pass
        self._given.add(port)
        return port


@dataclass(frozen=True, slots=True)
class Shape:
    """What kind of site: so many *servers*, and whether they want TLS."""

    servers: int = 1
    is_encrypted: bool = False


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
    authority: Path | None = None

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
async def running(
    directory: Path, device: DeviceId, shape: Shape, given: Ports
) -> AsyncIterator[Site]:
    """Run servers with their files in *directory*, until the block ends."""
    users = _users(directory, device)
    tls = certificates.make(directory) if shape.is_encrypted else None
    servers = _servers(directory, _Wanted(users, tls, shape.servers), given)
    try:
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in servers))
        async with AsyncExitStack() as stack:
            admin, operator, agent = users
            yield Site(
                device,
                servers,
                await _route(stack, servers, agent, inbox_prefix(device), given),
                await _route(stack, servers, operator, OPERATOR_INBOX_PREFIX, given),
                admin,
                tls.authority if tls else None,
            )
    finally:
        for server in servers:
            server.kill()


async def _route(
    stack: AsyncExitStack, servers: Sequence[Server], user: BrokerUser, prefix: str, given: Ports
) -> Route:
    proxies = [
        await stack.enter_async_context(proxying((_HOST, server.port), given.next()))
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


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What all servers of a site have in common."""

    users: tuple[BrokerUser, ...]
    tls: Certificates | None
    size: int


def _servers(directory: Path, wanted: _Wanted, given: Ports) -> tuple[Server, ...]:
    peers = [given.next() for _ in range(wanted.size)]
    return tuple(
        _server(directory / f"nats-{number}", wanted, number, given.next(), peers)
        for number in range(wanted.size)
    )


def _server(
    directory: Path, wanted: _Wanted, number: int, port: int, peers: Sequence[int]
) -> Server:
    directory.mkdir(parents=True, exist_ok=True)
    basic = nats_server.NatsServer(
        name=f"soak-{number}",
        store=str(directory / "store"),
        users=tuple(map(credentials.server_user, wanted.users)),
        address=_HOST,
        port=port,
        monitor=f"{_HOST}:-1",  # any: nobody asks
    )
    config = directory / "nats.conf"
    parts = (nats_server.render(basic), _cluster(number, peers), _tls(wanted.tls))
    config.write_text("".join(parts))
    return Server(config, port)


def _cluster(number: int, peers: Sequence[int]) -> str:
    """Render what makes a server one of several; clients are told of the proxies alone."""
    if len(peers) == 1:
        return ""
    routes = json.dumps([f"nats://{_HOST}:{port}" for port in peers])
    listen = json.dumps(f"{_HOST}:{peers[number]}")
    return f"cluster {{ name: soak, listen: {listen}, routes: {routes}, no_advertise: true }}\n"


def _tls(files: Certificates | None) -> str:
    if files is None:
        return ""
    return f"tls {json.dumps({'cert_file': str(files.certificate), 'key_file': str(files.key)})}\n"
