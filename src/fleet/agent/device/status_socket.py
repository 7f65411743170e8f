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

from fleet import errors
from fleet.agent.device.status import Snapshot

log = structlog.get_logger(__name__)

NAME = "agent.sock"

_RETRY_SECONDS = 60.0
_PATIENCE_SECONDS = 5.0


async def serve(directory: Path, snapshot: Callable[[], Snapshot]) -> None:
    """Answer until cancelled. A disk that has no room for a socket is asked again later."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(msgspec.json.encode(snapshot()))
            await writer.drain()
            writer.close()
            await writer.wait_closed()

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


def ask(directory: Path) -> Snapshot:
    """
    Ask the agent that keeps its state in *directory*.

    :raises errors.NotReady: none answers.
    """
    try:
        with _place(directory) as place, socket.socket(socket.AF_UNIX) as link:
            link.settimeout(_PATIENCE_SECONDS)
            link.connect(place)
            data = b"".join(iter(lambda: link.recv(65536), b""))
        return msgspec.json.decode(data, type=Snapshot)
    except (OSError, msgspec.MsgspecError) as exc:
        raise errors.NotReady(f"{directory / NAME}: {exc}", element=str(directory)) from exc


def _bind(directory: Path) -> socket.socket:
    with _place(directory) as place:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place)  # noqa: PTH108 - of an agent that was killed; the lock is ours
        bound = socket.socket(socket.AF_UNIX)
        try:
            bound.bind(place)
            # Before anybody can connect, which takes a socket that listens.
            os.chmod(place, 0o600)  # noqa: PTH101 - a path through a descriptor
        except OSError:
            bound.close()
            raise
    return bound


@contextlib.contextmanager
def _place(directory: Path) -> Iterator[str]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)
