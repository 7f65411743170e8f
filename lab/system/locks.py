"""
Locks between the commands of labs: flocks on directories, so that no file is left behind.

One is for the whole host, whatever the data directory: held for moments, while labs settle what
they share.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lab.errors import LabBusy

_LOCKABLE = (Path("/run/lock"), Path("/run"), Path("/"))


@contextlib.contextmanager
def of_host(*, within: float = 60) -> Iterator[None]:
    """Hold the lock of all labs on this host."""
    path = next(path for path in _LOCKABLE if path.is_dir())
    busy = LabBusy(f"another lab is settling what labs share (flock on {path})")
    with of_directory(path, within=within, busy=lambda: busy):
        yield


@contextlib.contextmanager
def of_directory(
    path: Path,
    *,
    within: float,
    busy: Callable[[], LabBusy],
    saw: Callable[[str], None] = lambda _: None,
) -> Iterator[None]:
    """
    Hold the lock of the directory *path*, made if need be; *saw* is told what is waited for.

    :raises LabBusy: it was not to be had within that many seconds: what *busy* says.
    """
    deadline = time.monotonic() + within
    while (fd := _try_lock(path)) is None:
        reason = busy()
        if time.monotonic() > deadline:
            raise reason
        saw(f"waiting: {reason}")
        time.sleep(0.05)
    try:
        yield
    finally:
        os.close(fd)


def _try_lock(path: Path) -> int | None:
    """Lock the directory that is *path* now: one that was removed meanwhile locks nothing."""
    path.mkdir(exist_ok=True)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), path.stat()):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(fd)
    return None
