"""
Locks between processes: the one module that takes them, names their files and says who holds them.

The lock of a thing is the file ``THING.lock`` beside it, never in it: whoever deletes the thing
while he holds its lock deletes no lock. What is the whole host's, whatever the data directory, has
its lock under ``/run/lock``. The library is filelock. Its locks are the kernel's (flock), so a lock
ends with the process that holds it, however that ends, though children of it live on; a file that
is left behind locks nothing. What a file says is for people: who holds the lock, while it is held.

The rule: `beside` where a thing is made once and kept, and whoever comes second has nothing to say
until it is there; `held` where people wait, and are told for whom; `take` where nobody waits.
`Use` is the one shared lock. Nothing else in ``lab/`` imports filelock or fcntl (`.importlinter`),
but for `lab.toolchain.store`, which has to run before the lab does.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock

from lab.errors import LabBusy

SUFFIX = ".lock"
_HOST = Path("/run/lock/fleet-lab")
_OWNERS = 0o644
_ANYBODY = 0o666  # in a directory of everybody's, root's file would keep all others out
_EVERY = 0.05


def file_of(thing: Path) -> Path:
    """Return the file that is the lock of *thing*."""
    return thing.with_name(f"{thing.name}{SUFFIX}")


@contextlib.contextmanager
def of_host(*, within: float = 60) -> Iterator[None]:
    """Hold the lock of all labs on this host, for moments: while they settle what they share."""

    def busy() -> LabBusy:
        pid = holder(_HOST).get("pid", "?")
        return LabBusy(f"another lab is settling what labs share (pid {pid}, {file_of(_HOST)})")

    with held(_HOST, {}, within=within, busy=busy, mode=_ANYBODY):
        yield


@contextlib.contextmanager
def held(
    thing: Path,
    who: Mapping[str, Any],
    *,
    within: float,
    busy: Callable[[], LabBusy],
    saw: Callable[[str], None] = lambda _: None,
    mode: int = _OWNERS,
) -> Iterator[None]:
    """
    Hold the lock of *thing* as *who*; *saw* is told what is waited for.

    :raises LabBusy: it was not to be had within that many seconds: what *busy* says.
    """
    deadline = time.monotonic() + within
    while (lock := take(thing, who, mode=mode)) is None:
        reason = busy()
        if time.monotonic() > deadline:
            raise reason
        saw(f"waiting: {reason}")
        time.sleep(_EVERY)
    with lock:
        yield


@contextlib.contextmanager
def beside(thing: Path) -> Iterator[None]:
    """Hold the lock of *thing*, however long it takes until it is to be had."""
    with _lock(file_of(thing)):
        yield


@contextlib.contextmanager
def of_file(path: Path) -> Iterator[None]:
    """Hold the lock of a file of the kernel's, which is its own lock: nothing is made for it."""
    with _lock(path):
        yield


def take(
    thing: Path, who: Mapping[str, Any] | None = None, *, mode: int = _OWNERS
) -> contextlib.ExitStack | None:
    """
    Take the lock of *thing* as *who*, if it is free; closing what is returned gives it back.

    A lock whose file was deleted meanwhile is none: filelock looks for that once it has it.
    """
    lock = _lock(file_of(thing), who, mode=mode)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        return None
    taken = contextlib.ExitStack()
    taken.callback(lock.release)
    return taken


def is_held(thing: Path) -> bool:
    """Tell whether somebody holds the lock of *thing*; leaves no file where there is none."""
    if not file_of(thing).exists():
        return False
    if (lock := take(thing)) is None:
        return True
    lock.close()
    return False


def holder(thing: Path) -> Mapping[str, Any]:
    """Return what the last to hold the lock of *thing* said of himself, with his pid."""
    try:
        said = json.loads(file_of(thing).read_text())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def discard(thing: Path) -> None:
    """Delete the lock of *thing*, which is gone. Call this under the lock: who waits makes anew."""
    file_of(thing).unlink(missing_ok=True)


class Use:
    """
    The use of *thing* by this process, beside other processes that use it too.

    A flock of our own, since filelock's own shared lock won't do. `filelock.ReadWriteLock` is a
    transaction of SQLite's: it leaves directories beside its database where its holder is killed,
    is refused to forked children of a process that used it, and can't become exclusive.
    """

    def __init__(self, thing: Path) -> None:
        self._path = file_of(thing.with_name(f"{thing.name}.users"))
        self._fd: int | None = None

    def begin(self) -> None:
        """Be one of the users, until `end` or the end of the process; waits for who `is_last`."""
        self._flock(fcntl.LOCK_SH)

    def is_last(self) -> bool:
        """Tell whether nobody else uses it; then nobody can begin to."""
        try:
            self._flock(fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def end(self) -> None:
        """Use it no longer."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _flock(self, how: int) -> None:
        if self._fd is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._fd, how)


def _lock(
    path: Path, who: Mapping[str, Any] | None = None, *, mode: int = _OWNERS
) -> filelock.FileLock:
    """Return the lock that is the file *path*: the kernel's, never one by the file's existence."""

    def introduce(fd: int) -> None:
        if who is not None:
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps({"pid": os.getpid(), **who}).encode(), 0)

    return filelock.FileLock(
        path, mode=mode, thread_local=False, fallback_to_soft=False, on_acquired=introduce
    )
