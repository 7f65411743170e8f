"""
Where `fleet-agent status` asks: a socket in the state directory, open to the agent's own user.

Whoever connects is told a snapshot, and hung up on. So what is shown was so a
moment ago, or nobody answers: no file can go stale, and no flash wears. It is
bound and reached through the directory's descriptor, for a socket's path may
have no more than 107 bytes.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import structlog

from fleet.agent.device.status import Snapshot
from fleet.supervision.failures import Failures

log = structlog.get_logger(__name__)

NAME = "agent.sock"
PART = "status socket"

_RETRY_SECONDS = 60.0
_ANSWER_SECONDS = 5.0  # who asks, and then doesn't read, is hung up on


async def serve(
    directory: Path, snapshot: Callable[[], Snapshot], failures: Failures | None = None
) -> None:
    """Answer until cancelled. A disk that has no room for a socket is asked again later."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with recorded.contained(PART), contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_ANSWER_SECONDS):
                try:
                    writer.write(msgspec.json.encode(snapshot()))
                    await writer.drain()
                finally:
                    writer.close()
                await writer.wait_closed()

    recorded = failures or Failures()

    is_said = False
    while True:
        try:
            server = await asyncio.start_unix_server(answer, sock=_bind(directory))
        except OSError as exc:
            if not is_said:
                log.warning("no status socket", directory=str(directory), error=exc.strerror)
            is_said = True
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            async with server:
                await server.serve_forever()


def _bind(directory: Path) -> socket.socket:
    with place(directory) as path:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - of an agent that was killed; the lock is ours
        bound = socket.socket(socket.AF_UNIX)
        try:
            bound.bind(path)
            # Before anybody can connect, which takes a socket that listens.
            os.chmod(path, 0o600)  # noqa: PTH101 - a path through a descriptor
        except OSError:
            bound.close()
            raise
    return bound


@contextlib.contextmanager
def place(directory: Path) -> Iterator[str]:
    """Give the socket a path that is short enough, for as long as the block runs."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)
