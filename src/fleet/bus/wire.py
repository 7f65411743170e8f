"""
The bytes between us and one server: opened, greeted, encrypted, and then nats-py's.

nats-py gets a connection that is ready for CONNECT. So no credential is near
before the server has spoken as a NATS server does and, where encryption is asked
for, has proved who it is. A wire is ended by aborting it: nothing is drained
into a connection that may be dead, and nobody waits for that.
"""

import asyncio
import contextlib
import ssl
from typing import Any

from nats.aio.transport import Transport

from fleet import errors, threads
from fleet.bus import greeting
from fleet.bus.greeting import Greeting
from fleet.contracts.hub import Server

MAX_UNSENT_BYTES = 1024 * 1024
_CLOSE_SECONDS = 1.0
_PONG = b"PONG\r\n"


async def dial(server: Server, authority: ssl.SSLContext | None) -> "Wire":
    """
    Open a connection to *server*, and encrypt it where *authority* or *server* ask for that.

    :raises errors.BusUnavailable: no NATS server is there, or none that we may speak to.
    :raises OSError: nobody is there, or nobody who can prove to be *server*.
    """
    reader, writer = await asyncio.open_connection(
        server.host, server.port, limit=greeting.MAX_BYTES
    )
    try:
        greeted = greeting.read(await _line(reader))
        if server.tls or authority:
            _require_tls(greeted)
        if greeted.tls_required or server.tls or authority:
            context = authority or await _everybodys_authorities()
            encrypted = await _encrypt(writer, context, server.host)
            return Wire(*encrypted, greeted, beneath=writer)
        return Wire(reader, writer, greeted)
    except BaseException:
        writer.transport.abort()
        raise


def _require_tls(greeted: Greeting) -> None:
    if not greeted.offers_tls:
        raise errors.BusUnavailable("the server doesn't speak TLS, which is asked for")


async def _everybodys_authorities() -> ssl.SSLContext:
    """Trust whom the system trusts. Loading all of those takes its time."""
    return await threads.call(ssl.create_default_context, name="authorities")


async def _encrypt(
    writer: asyncio.StreamWriter, context: ssl.SSLContext, host: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Shake hands. What came in clear after the greeting stays unread."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=greeting.MAX_BYTES)
    protocol = _Encrypted(reader)
    transport = await loop.start_tls(writer.transport, protocol, context, server_hostname=host)
    if transport is None:
        raise errors.BusUnavailable("the connection was lost while shaking hands")
    reader.set_transport(transport)  # so that it pauses what nobody reads; start_tls doesn't
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


class _Encrypted(asyncio.StreamReaderProtocol):
    """A protocol over TLS, which can't be half closed: asyncio logs whoever asks for that."""

    def eof_received(self) -> bool:
        super().eof_received()
        return False


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as exc:
        raise errors.BusUnavailable("the server closed the connection") from exc
    except asyncio.LimitOverrunError as exc:
        raise errors.BusUnavailable("the server says a line without an end") from exc


class Wire(Transport):
    """An open connection, as nats-py wants to see one."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        greeted: Greeting,
        *,
        beneath: asyncio.StreamWriter | None = None,
    ) -> None:
        self.greeted = greeted
        self._reader = reader
        self._writer = writer
        self._beneath = beneath  # without its writer, a socket is closed
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._first_line = greeting.line(greeted)
        # Who waits for room goes on as soon as there is any, as does who comes then.
        writer.transport.set_write_buffer_limits(high=MAX_UNSENT_BYTES, low=MAX_UNSENT_BYTES - 1)

    @property
    def unheard_for(self) -> float:
        """The seconds since anything came from the server."""
        return self._loop.time() - self._heard_at

    @property
    def has_room(self) -> bool:
        """Whether more may be written without waiting (`writable`)."""
        transport = self._writer.transport
        return not transport.is_closing() and transport.get_write_buffer_size() < MAX_UNSENT_BYTES

    async def writable(self) -> None:
        """
        Wait until there is room for more.

        :raises OSError: the connection is lost.
        """
        await self._writer.drain()

    def abort(self) -> None:
        """End it now, and drop what wasn't sent."""
        self._writer.transport.abort()

    async def closed(self) -> None:
        """Wait until its socket is closed, which an abort sees to in no time."""
        with contextlib.suppress(OSError, TimeoutError):  # also where it was lost before
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._writer.wait_closed()

    # What nats-py calls.

    async def connect(self, *_: Any, **__: Any) -> None:
        """Do nothing: it is connected."""

    async def connect_tls(self, *_: Any, **__: Any) -> None:
        """Refuse: whether it is encrypted was settled before."""
        raise errors.BusUnavailable("the server wants to encrypt the connection once more")

    def write(self, payload: bytes) -> None:
        """Send, or keep until it can be sent."""
        self._writer.write(payload)

    def writelines(self, payload: list[bytes]) -> None:
        """Send all of it."""
        self._writer.write(b"".join(payload))

    async def drain(self) -> None:
        """Do nothing: whoever publishes waits for room himself (`writable`), within his time."""

    async def read(self, buffer_size: int) -> bytes:
        """Wait for some bytes; there are none at the end."""
        data = await self._reader.read(buffer_size)
        if data:
            self._heard_at = self._loop.time()
        return data

    async def readline(self) -> bytes:
        """
        Return the greeting; later, that we were let in.

        :raises errors.BusUnavailable: we weren't.
        """
        if self._first_line:
            line, self._first_line = self._first_line, b""
            return line
        return await self._verdict()

    async def _verdict(self) -> bytes:
        """Wait to be let in: a ping, or news of a cluster, may come before."""
        while True:
            line = await _line(self._reader)
            self._heard_at = self._loop.time()
            if line.startswith(_PONG):
                return line
            if line.startswith(b"PING"):
                self._writer.write(_PONG)
            elif not line.startswith((b"INFO", b"+OK")):
                text = line[:200].decode(errors="replace").strip()
                raise errors.BusUnavailable(f"not let in: {text}")

    def at_eof(self) -> bool:
        """Whether the server ended it, and all was read."""
        return self._reader.at_eof()

    async def wait_closed(self) -> None:
        """Do nothing: an aborted connection is closed."""

    def close(self) -> None:
        """End it now."""
        self.abort()

    def __bool__(self) -> bool:
        return True
