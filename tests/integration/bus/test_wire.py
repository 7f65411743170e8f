"""The bytes beneath a session: ended at once, however many wait to be sent."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fleet.bus import wire
from fleet.contracts.hub import Server
from tests.nats_stand_in import info


@asynccontextmanager
async def deaf_server(readers: list[asyncio.StreamReader] | None = None) -> AsyncIterator[Server]:
    """Run a server that greets and reads nothing; *readers* get what it could read by."""
    writers: list[asyncio.StreamWriter] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        if readers is not None:
            readers.append(reader)
        writer.write(info())
        writers.append(writer)

    listener = await asyncio.start_server(greet, "127.0.0.1", 0)
    try:
        yield Server("127.0.0.1", listener.sockets[0].getsockname()[1])
    finally:
        for writer in writers:
            writer.transport.abort()
        listener.close()


async def test_an_abort_waits_for_nothing_that_was_to_be_sent():
    loop = asyncio.get_running_loop()
    async with deaf_server() as server:
        opened = await wire.dial(server, None)
        opened.write(b"x" * 50_000_000)
        since = loop.time()
        opened.abort()
        await opened.closed()
        assert loop.time() - since < 0.5
        with pytest.raises(OSError, match="lost"):
            await opened.writable()


async def test_whoever_publishes_waits_for_room_and_the_library_does_not():
    async with deaf_server() as server:
        opened = await wire.dial(server, None)
        opened.write(b"x" * 50_000_000)
        await opened.drain()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await opened.writable()
        opened.abort()
        await opened.closed()


async def test_who_waits_for_room_goes_on_as_soon_as_another_would():
    """Else newcomers take the room, again and again, and who waited is given up."""
    readers: list[asyncio.StreamReader] = []
    async with deaf_server(readers) as server:
        opened = await wire.dial(server, None)
        transport = opened._writer.transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        opened.write(b"x" * (8 * wire.MAX_UNSENT_BYTES))
        waiting = asyncio.create_task(opened.writable())
        peer = readers[0]._transport  # type: ignore[attr-defined]
        peer.resume_reading()
        while not opened.has_room:
            await readers[0].read(65536)
        peer.pause_reading()
        async with asyncio.timeout(5):
            await waiting
        assert transport.get_write_buffer_size() > wire.MAX_UNSENT_BYTES // 2
        opened.abort()
        await opened.closed()
