"""
A server that is not quite NATS: it greets as it is told to, and may let in, drop or confuse.

It keeps what each connection sent, so that a test can tell who got to see a credential.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

GREETING = {
    "server_id": "stand-in",
    "version": "2.11.0",
    "proto": 1,
    "headers": True,
    "max_payload": 1048576,
}


def info(**more: object) -> bytes:
    """Render the greeting of an ordinary server, with some fields changed."""
    return b"INFO " + json.dumps(GREETING | more).encode() + b"\r\n"


@dataclass
class StandIn:
    """
    What it does, and what it has seen.

    *verdict* answers CONNECT and PING, *afterwards* is sent once the client was let in. With
    *hangs_up* the connection is closed then.
    """

    greeting: bytes = info()
    verdict: bytes = b"PONG\r\n"
    afterwards: bytes = b""
    hangs_up: bool = False
    port: int = 0
    received: list[bytearray] = field(default_factory=list)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    async def wait_for_connections(self, number: int) -> None:
        """Wait until so many have come."""
        async with asyncio.timeout(15):
            while len(self.received) < number:
                self._arrived.clear()
                await self._arrived.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Play one server to one client."""
        seen = bytearray()
        self.received.append(seen)
        self._arrived.set()
        try:
            writer.write(self.greeting)
            await self._let_in(reader, writer, seen)
            writer.write(self.afterwards)
            while not self.hangs_up and (data := await reader.read(4096)):
                seen += data
                if data == b"PING\r\n":
                    writer.write(b"PONG\r\n")
        except OSError:
            pass
        finally:
            writer.transport.abort()

    async def _let_in(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: bytearray
    ) -> None:
        while b"PING\r\n" not in seen:
            data = await reader.read(4096)
            if not data:
                raise ConnectionResetError
            seen += data
        writer.write(self.verdict)


@asynccontextmanager
async def stand_in(**more: object) -> AsyncIterator[StandIn]:
    """Run one while the block runs."""
    server = StandIn(**more)  # type: ignore[arg-type]
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
