"""
Looks at processes through /proc.

A process is identified by pid, start time and boot: the pid alone is reused. The start time is the
kernel's own count of ticks, which no change of the clock moves (psutil's derives from the clock).
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Identity:
    """One run of one process on this boot of the host."""

    pid: int
    start: int
    boot: str


@cache
def boot_id() -> str:
    """Return what changes with every boot."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> Identity | None:
    """
    Return who lives under *pid* now; None when nobody does, or only a zombie.

    A process whose first thread has ended is shown as a zombie too. While others of its threads
    are on their way out, it still holds what it had: a port that its successor wants.
    """
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, threads, start = fields[0], int(fields[17]), int(fields[19])
    is_gone = state == "X" or (state == "Z" and threads <= 1)
    return None if is_gone else Identity(pid, start, boot_id())


def is_alive(who: Identity) -> bool:
    """Tell whether that very process still lives."""
    return identify(who.pid) == who


def pids() -> Iterator[int]:
    """Yield the pid of every process there is."""
    return (int(entry) for entry in os.listdir(PROC) if entry.isdecimal())  # noqa: PTH208 - hot, names only


def with_environment(variable: str, value: str) -> tuple[Identity, ...]:
    """Return the processes that were started with *variable* set to *value*, oldest first."""
    wanted = f"{variable}={value}".encode()
    found = (identify(pid) for pid in pids() if wanted in _environment(pid))
    return tuple(sorted((who for who in found if who), key=lambda who: who.start))


def in_namespace(path: Path) -> tuple[Identity, ...]:
    """Return the processes whose network or mount namespace is the one bound at *path*."""
    try:
        wanted = path.stat()
    except OSError:
        return ()
    found = (identify(pid) for pid in pids() if _lives_in(pid, wanted))
    return tuple(who for who in found if who)


def is_inside(pid: int, path: Path) -> bool:
    """Tell whether the network or mount namespace bound at *path* is that of *pid*."""
    try:
        return _lives_in(pid, path.stat())
    except OSError:
        return False


def in_cgroup(part: str) -> tuple[Identity, ...]:
    """Return the processes in a cgroup whose path contains *part* (a container's full id)."""
    found = (identify(pid) for pid in pids() if part in _text(pid, "cgroup"))
    return tuple(who for who in found if who)


def of_users(users: range) -> tuple[Identity, ...]:
    """Return the processes whose user is one of *users*."""
    found = (identify(pid) for pid in pids() if _user(pid) in users)
    return tuple(who for who in found if who)


def reap(pid: int) -> None:
    """Take a child's exit status, if *pid* is a child of ours that ended."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _lives_in(pid: int, wanted: os.stat_result) -> bool:
    for kind in ("net", "mnt"):
        try:
            there = os.stat(PROC / str(pid) / "ns" / kind)  # noqa: PTH116 - follows the magic link
        except OSError:
            continue
        if (there.st_dev, there.st_ino) == (wanted.st_dev, wanted.st_ino):
            return True
    return False


def _user(pid: int) -> int:
    """Return the real user of a process, -1 when it is gone."""
    lines = _text(pid, "status").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("Uid:")), -1)


def _environment(pid: int) -> list[bytes]:
    try:
        return (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _text(pid: int, name: str) -> str:
    try:
        return (PROC / str(pid) / name).read_text()
    except OSError:
        return ""
