"""`lab.soak.hub.proxy`: it breaks connections as it says, or the soak would prove nothing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from lab.soak import waits
from lab.soak.hub import proxy as proxies
from lab.soak.hub.proxy import TcpProxy, Way
from lab.system import ports

WITHIN = 5.0
GREETING = b"INFO {}\r\n"


@dataclass(frozen=True, slots=True)
class End:
    """One end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def hears(self, size: int) -> bytes:
        async with asyncio.timeout(WITHIN):
            return await self.reader.readexactly(size)

    async def hears_the_end(self) -> bytes:
        """Return what comes before the end."""
        async with asyncio.timeout(WITHIN):
            return await self.reader.read()

    async def hears_until_reset(self) -> bytes:
        heard = b""
        while True:
            try:
                heard += await self.hears(1)
            except ConnectionResetError:
                return heard

    async def is_reset(self) -> bool:
        try:
            await self.hears_the_end()
        except ConnectionResetError:
            return True
        return False


class Listener:
    """The server behind the proxy."""

    def __init__(self) -> None:
        self.ends: list[End] = []
        self._arrived: asyncio.Queue[End] = asyncio.Queue()

    async def next(self) -> End:
        async with asyncio.timeout(WITHIN):
            return await self._arrived.get()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        self.ends.append(End(reader, writer))
        self._arrived.put_nowait(self.ends[-1])


class Site:
    """A proxy, what is behind it, and who comes to it."""

    def __init__(self, proxy: TcpProxy, listener: Listener) -> None:
        self.proxy = proxy
        self._listener = listener
        self._ends: list[End] = []

    async def connect(self) -> End:
        end = End(*await asyncio.open_connection("127.0.0.1", self.proxy.port))
        self._ends.append(end)
        return end

    async def pair(self) -> tuple[End, End]:
        """Connect, and return both ends once they hear each other."""
        client = await self.connect()
        server = await self._listener.next()
        assert await client.hears(len(GREETING)) == GREETING
        client.send(b"hello")
        assert await server.hears(5) == b"hello"
        return client, server

    async def carries(self, number: int) -> None:
        def missing() -> str:
            return "" if self.proxy.open == number else f"{self.proxy.open} are"

        await waits.until(f"{number} are carried", missing, within=WITHIN)

    def close(self) -> None:
        for end in (*self._ends, *self._listener.ends):
            end.writer.transport.abort()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    listener = Listener()
    async with await asyncio.start_server(listener.accept, "127.0.0.1", 0) as server:
        target = server.sockets[0].getsockname()
        async with proxies.proxying(("127.0.0.1", target[1]), ports.free()) as proxy:
            running = Site(proxy, listener)
            yield running
            running.close()


async def test_what_is_whole_is_carried_both_ways_until_one_end_leaves(site: Site):
    client, server = await site.pair()
    server.send(b"x" * 300_000)
    assert await client.hears(300_000) == b"x" * 300_000
    assert (site.proxy.open, site.proxy.accepted) == (1, 1)
    client.writer.close()
    assert await server.hears_the_end() == b""
    await site.carries(0)


async def test_a_reset_is_one_at_both_ends(site: Site):
    client, server = await site.pair()
    site.proxy.reset()
    assert await client.is_reset()
    assert await server.is_reset()
    await site.pair()


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("way", Way)
async def test_a_cut_falls_within_what_is_sent_next(site: Site, way: Way, share: float):
    client, server = await site.pair()
    sender, receiver = (client, server) if way is Way.UP else (server, client)
    site.proxy.cut(way, share)
    sender.send(b"x" * 100)
    assert 1 <= len(await receiver.hears_until_reset()) < 100
    assert await sender.is_reset()


@pytest.mark.parametrize("ways", [(Way.UP,), (Way.DOWN,), tuple(Way)])
async def test_what_is_lost_is_lost_silently_and_for_this_connection_alone(
    site: Site, ways: tuple[Way, ...]
):
    client, server = await site.pair()
    site.proxy.lose(*ways)
    client.send(b"up")
    server.send(b"down")
    await site.pair()
    if Way.UP not in ways:
        assert await server.hears(2) == b"up"
    if Way.DOWN not in ways:
        assert await client.hears(4) == b"down"
    client.writer.close()
    assert await server.hears_the_end() == b""
    await site.carries(1)


async def test_what_is_stalled_fills_its_buffers_and_is_not_let_go_of(site: Site):
    client, server = await site.pair()
    site.proxy.stall()
    for _ in range(200):
        client.send(b"x" * 100_000)
    assert client.writer.transport.get_write_buffer_size() > 0
    assert site.proxy.open == 0
    site.proxy.sweep()
    assert await client.is_reset()
    assert await server.is_reset()
    await site.carries(0)


async def test_what_is_held_back_is_delivered_late_even_after_its_sender_left(site: Site):
    client, server = await site.pair()
    site.proxy.hold()
    client.send(b"late")
    other, _ = await site.pair()
    client.writer.close()
    await site.proxy.mend()
    assert await server.hears_the_end() == b"late"
    await site.carries(1)
    other.writer.close()


async def test_slow_bytes_come_at_their_rate_in_both_directions(site: Site):
    client, server = await site.pair()
    site.proxy.bytes_per_second = 1000
    since = asyncio.get_running_loop().time()
    client.send(b"x" * 300)
    server.send(b"y" * 300)
    assert await server.hears(300) == b"x" * 300
    assert await client.hears(300) == b"y" * 300
    assert asyncio.get_running_loop().time() - since >= 0.25
    await site.proxy.mend()
    server.send(b"z" * 300_000)
    assert await client.hears(300_000)


async def test_connections_are_refused_until_it_is_mended_and_those_that_stand_go_on(site: Site):
    client, server = await site.pair()
    site.proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await site.connect()
    server.send(b"still")
    assert await client.hears(5) == b"still"
    await site.proxy.mend()
    await site.pair()


async def test_whoever_comes_is_met_as_it_was_told_until_it_is_mended(site: Site):
    site.proxy.welcome(proxies.hang_up)
    assert await (await site.connect()).hears_the_end() == b""
    site.proxy.welcome(proxies.greeting(b"odd"))
    odd = await site.connect()
    assert await odd.hears(3) == b"odd"
    odd.writer.write_eof()
    assert await odd.hears_the_end() == b""
    await site.proxy.mend()
    await site.pair()
    assert site.proxy.accepted == 3


async def test_a_client_may_be_dropped_once_it_has_answered_the_greeting(site: Site):
    site.proxy.welcome(proxies.dropping_after_connect(site.proxy.target))
    client = await site.connect()
    assert await client.hears(len(GREETING)) == GREETING
    client.send(b"CONNECT {}\r\n")
    assert await client.hears_the_end() == b""
