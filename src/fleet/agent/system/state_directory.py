"""The agent's directory: made where it is missing, and held by one agent at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import structlog

from fleet import errors

log = structlog.get_logger(__name__)


@contextlib.contextmanager
def held(directory: Path) -> Iterator[None]:
    """
    Hold *directory* until the block, or the process, ends.

    Where it can't be made nobody can write there either: the journal says so,
    and the agent goes on without.

    :raises errors.DirectoryUnusable: another agent holds it.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        log.warning("no state directory", directory=str(directory), error=exc.strerror)
        yield
        return
    try:
        _lock(descriptor, directory)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise errors.DirectoryUnusable(
            f"{directory}: another agent runs with this state directory", element=str(directory)
        ) from exc
