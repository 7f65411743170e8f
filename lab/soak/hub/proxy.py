"""
A TCP proxy on loopback that breaks what it carries: resets, losses, half frames, slow bytes.

It runs in the event loop of whoever started it. A fault holds for connections that stand when it
begins, or for those that come while it lasts, as each method says.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

_CHUNK = 64 * 1024
_TICK_SECONDS = 0.05
_RESET = struct.pack("ii", 1, 0)  # linger for no time: close sends RST


class Way(StrEnum):
    """A direction, seen from the client."""

    UP = "to the server"
    DOWN = "from the server"


@dataclass(slots=True)
class _Flow:
    """One direction of one connection, and what is wrong with it."""

    is_lost: bool = False
    is_held: bool = False
    cut_at: float | None = None
    is_open: asyncio.Event = field(default_factory=asyncio.Event)


class _Link:
    """One connection that is carried."""

    def __init__(self, proxy: "TcpProxy") -> None:
        self._proxy = proxy
        self._writers: list[asyncio.StreamWriter] = []
        self.flows = {way: _Flow() for way in Way}
        for flow in self.flows.values():
            flow.is_open.set()

    async def carry(self, client: "_Streams", server: "_Streams") -> None:
        """Carry both directions until one of them ends."""
        self._writers = [client.writer, server.writer]
        pumps = [
            asyncio.create_task(self._pump(client.reader, server.writer, Way.UP)),
            asyncio.create_task(self._pump(server.reader, client.writer, Way.DOWN)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    @property
    def is_stalled(self) -> bool:
        """Whether nothing is taken off it."""
        return not all(flow.is_open.is_set() for flow in self.flows.values())

    def reset(self) -> None:
        """Send RST to both ends."""
        for writer in self._writers:
            _reset(writer)
        for flow in self.flows.values():
            flow.is_lost = True  # nothing that is still held gets through
            flow.is_open.set()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: Way
    ) -> None:
        flow = self.flows[way]
        while data := await source.read(_CHUNK):
            await flow.is_open.wait()
            if flow.is_lost:
                continue
            if flow.cut_at is not None:
                sink.write(data[: _within(len(data), flow.cut_at)])
                await sink.drain()
                self.reset()
                return
            await self._pass_on(data, sink)

    async def _pass_on(self, data: bytes, sink: asyncio.StreamWriter) -> None:
        while data:
            rate = self._proxy.bytes_per_second
            size = max(1, int(rate * _TICK_SECONDS)) if rate else len(data)
            sink.write(data[:size])
            await sink.drain()
            data = data[size:]
            if rate:
                await asyncio.sleep(_TICK_SECONDS)


@dataclass(frozen=True, slots=True)
class _Streams:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


Welcome = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class TcpProxy:
    """Forwards connections to *target*, but for what is wrong with it now."""

    def __init__(self, target: tuple[str, int], port: int) -> None:
        self.port = port
        self.accepted = 0
        self.bytes_per_second = 0
        self.target = target
        self._links: set[_Link] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._welcome: Welcome | None = None
        self._server: asyncio.Server | None = None

    @property
    def open(self) -> int:
        """How many connections it carries, but for the stalled: nobody can tell if they ended."""
        return sum(not link.is_stalled for link in self._links)

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def mend(self) -> None:
        """
        Carry whoever comes from now on, at full speed, and deliver what was held back.

        What a connection lost stays lost, and one that was stalled stays so.
        """
        self._welcome = None
        self.bytes_per_second = 0
        for flow in self._flows(tuple(Way)):
            if flow.is_held:
                flow.is_open.set()
        if self._server is None:
            await self.start()

    def refuse(self) -> None:
        """Stop listening: the kernel refuses whoever comes. What stands is carried on."""
        if self._server:
            self._server.close()
            self._server = None

    async def close(self) -> None:
        """End it, and every connection."""
        self.refuse()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    def reset(self) -> None:
        """Break every connection by RST."""
        for link in self._links:
            link.reset()

    def sweep(self) -> None:
        """Break those that are stalled, once their client is done with them."""
        for link in self._links:
            if link.is_stalled:
                link.reset()

    def lose(self, *ways: Way) -> None:
        """Swallow what the connections that stand send that way, for ever; nobody is told."""
        for flow in self._flows(ways):
            flow.is_lost = True

    def stall(self) -> None:
        """Take nothing more off the connections that stand, so that their buffers fill."""
        for flow in self._flows(tuple(Way)):
            flow.is_open.clear()

    def hold(self) -> None:
        """Hold back what the connections that stand send, until it is mended."""
        for flow in self._flows(tuple(Way)):
            flow.is_held = True
            flow.is_open.clear()

    def cut(self, way: Way, share: float) -> None:
        """Break each connection that stands within what is sent next, after *share* of it."""
        for flow in self._flows((way,)):
            flow.cut_at = share

    def welcome(self, welcome: Welcome) -> None:
        """Have *welcome* meet whoever comes, instead of carrying them; then hang up."""
        self._welcome = welcome

    def _flows(self, ways: tuple[Way, ...]) -> list[_Flow]:
        return [link.flows[way] for link in self._links for way in ways]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task  # noqa: S101 - asyncio.start_server runs us in one
        self._handlers.add(task)
        self.accepted += 1
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                async with _ended(writer):
                    if self._welcome:
                        await self._welcome(reader, writer)
                    else:
                        await self._carry(_Streams(reader, writer))
        finally:
            self._handlers.discard(task)

    async def _carry(self, client: _Streams) -> None:
        server = _Streams(*await asyncio.open_connection(*self.target))
        link = _Link(self)
        self._links.add(link)
        try:
            async with _ended(server.writer):
                await link.carry(client, server)
        finally:
            self._links.discard(link)


async def hang_up(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """Meet a client with an end at once."""


async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Meet a client with silence, until it leaves."""
    while await reader.read(_CHUNK):
        pass


def greeting(words: bytes) -> Welcome:
    """Make what meets a client with *words*, and then waits for it to leave."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        await say_nothing(reader, writer)

    return greet


def dropping_after_connect(target: tuple[str, int]) -> Welcome:
    """Make what lets a client see the server's greeting, and hangs up once it has answered."""

    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = _Streams(*await asyncio.open_connection(*target))
        async with _ended(server.writer):
            writer.write(await server.reader.readline())
            await reader.read(_CHUNK)

    return drop


@contextlib.asynccontextmanager
async def _ended(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Close it after the block: in order, or at once where that is cancelled."""
    try:
        yield
    except asyncio.CancelledError:
        writer.transport.abort()
        raise
    finally:
        writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket | None = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


def _within(size: int, share: float) -> int:
    """Place a cut: after the first byte at the earliest, before the last at the latest."""
    return min(max(1, int(size * share)), max(0, size - 1))


@contextlib.asynccontextmanager
async def proxying(target: tuple[str, int], port: int) -> AsyncIterator[TcpProxy]:
    """Forward *port* to *target* while the block runs."""
    proxy = TcpProxy(target, port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()
