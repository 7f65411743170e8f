"""How each fault is brought about at a site, and lifted again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from lab.soak.hub.proxy import (
    TcpProxy,
    Way,
    Welcome,
    dropping_after_connect,
    greeting,
    hang_up,
    say_nothing,
)
from lab.soak.hub.server import Server
from lab.soak.hub.site import Site
from lab.soak.schedule import Break, Fault

SLOW_BYTES_PER_SECOND = (200, 20_000)
GREETINGS = (
    b"INFO {}\r\n",
    b"INFO \r\n",
    b"INFO not json\r\n",
    b'INFO {"server_id":"x","max_payload":"much"}\r\n',
    b"INFO [1, 2]\r\n",
    b"-ERR 'maximum connections exceeded'\r\n",
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\x15\x03\x01\x00\x02\x02\x46",
    b"\r\n" * 100,
    b"INFO " + b"x" * 100_000,
    b"INFO " + b"[" * 100_000 + b"\r\n",
)


@dataclass(frozen=True, slots=True)
class _OfServers:
    """What is done to a server when the fault begins, and when it ends. Both may block."""

    strike: Callable[[Server], None]
    lift: Callable[[Server], None]


def _kill_and_start(server: Server) -> None:
    server.kill()
    server.start()


_FREEZE = _OfServers(Server.pause, Server.resume)
_KILL = _OfServers(Server.kill, Server.start)
_STOP = _OfServers(Server.stop, Server.start)

OF_SERVERS: Mapping[Fault, _OfServers] = {
    Fault.FREEZE: _FREEZE,
    Fault.FREEZE_AND_KILL: _OfServers(Server.pause, _kill_and_start),
    Fault.KILL: _KILL,
    Fault.STOP: _STOP,
    Fault.FAILOVER_FREEZE: _FREEZE,
    Fault.FAILOVER_KILL: _KILL,
    Fault.FAILOVER_STOP: _STOP,
}


def _refuse(proxy: TcpProxy, _: float) -> None:
    proxy.refuse()
    proxy.reset()


def _slow(proxy: TcpProxy, share: float) -> None:
    least, most = SLOW_BYTES_PER_SECOND
    proxy.bytes_per_second = int(least * (most / least) ** share)


def _meeting(
    welcome: Callable[[TcpProxy, float], Welcome],
) -> Callable[[TcpProxy, float], None]:
    """Break what stands, and have *welcome* meet whoever comes back."""

    def strike(proxy: TcpProxy, share: float) -> None:
        proxy.welcome(welcome(proxy, share))
        proxy.reset()

    return strike


def _odd(_: TcpProxy, share: float) -> Welcome:
    return greeting(GREETINGS[int(share * len(GREETINGS))])


OF_LINKS: Mapping[Fault, Callable[[TcpProxy, float], None]] = {
    Fault.RESET: lambda proxy, _: proxy.reset(),
    Fault.RESET_UPSTREAM: lambda proxy, share: proxy.cut(Way.UP, share),
    Fault.RESET_DOWNSTREAM: lambda proxy, share: proxy.cut(Way.DOWN, share),
    Fault.HALF_OPEN: lambda proxy, _: proxy.lose(Way.UP, Way.DOWN),
    Fault.DEAF: lambda proxy, _: proxy.lose(Way.DOWN),
    Fault.MUTE: lambda proxy, _: proxy.lose(Way.UP),
    Fault.STALL: lambda proxy, _: proxy.stall(),
    Fault.HOLD: lambda proxy, _: proxy.hold(),
    Fault.SLOW: _slow,
    Fault.REFUSE: _refuse,
    Fault.DROP: _meeting(lambda *_: hang_up),
    Fault.DROP_AFTER_CONNECT: _meeting(lambda proxy, _: dropping_after_connect(proxy.target)),
    Fault.SILENT: _meeting(lambda *_: say_nothing),
    Fault.ODD_GREETING: _meeting(_odd),
}


@asynccontextmanager
async def striking(site: Site, each: Break) -> AsyncIterator[None]:
    """Have the fault of *each* hold at *site* while the block runs."""
    struck = _servers(site, each)
    await _strike(site, each, struck)
    try:
        yield
    finally:
        for server in struck:
            await asyncio.to_thread(OF_SERVERS[each.fault].lift, server)
        for proxy in site.proxies:
            await proxy.mend()


async def _strike(site: Site, each: Break, struck: Sequence[Server]) -> None:
    if each.fault in OF_LINKS:
        for proxy in site.proxies:
            OF_LINKS[each.fault](proxy, each.share)
    for server in struck:
        await asyncio.to_thread(OF_SERVERS[each.fault].strike, server)


def _servers(site: Site, each: Break) -> tuple[Server, ...]:
    """Choose the servers that are struck: the only one, or one of those in use."""
    if each.fault not in OF_SERVERS:
        return ()
    if not each.needs_cluster:
        return site.servers
    routes = site.routes
    used = routes[int(each.share * len(routes))].connected_to
    return (site.servers[used],)
