"""
Which process listens at a port of this host, as far as the kernel tells.

Blocks. The processes of other users can't be looked into without root: then the user is named.
"""

import contextlib
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")

_LISTENS = {"tcp": "0A", "udp": "07"}
# Columns of /proc/net/tcp and udp.
_LOCAL, _STATE, _USER, _INODE = 1, 3, 7, 9


@dataclass(frozen=True, slots=True)
class Listener:
    """Who has a port, in words; *pid* is 0 where only the user is known."""

    words: str
    pid: int = 0


def find(port: int, protocol: str, proc: Path = PROC) -> Listener | None:
    """Find the process that has *port*."""
    for user, inode in _sockets(port, protocol, proc):
        for process in _processes(inode, proc):
            return process
        return Listener(f"a process of user {_name(user)}")
    return None


def lineage(pid: int, proc: Path = PROC) -> tuple[int, ...]:
    """List a process and those that it descends from, as long as the kernel tells."""
    found: list[int] = []
    while pid and pid not in found:
        found.append(pid)
        try:
            stat = (proc / str(pid) / "stat").read_text(errors="replace")
        except OSError:
            break
        pid = int(stat.rpartition(")")[2].split()[1])  # the name before may hold anything
    return tuple(found)


def _sockets(port: int, protocol: str, proc: Path) -> Iterator[tuple[int, str]]:
    """List the user and the inode of each socket that has *port*."""
    for table in (protocol, f"{protocol}6"):
        with contextlib.suppress(OSError):
            for line in (proc / "net" / table).read_text().splitlines()[1:]:
                row = line.split()
                number = int(row[_LOCAL].rpartition(":")[2], 16)
                if number == port and row[_STATE] == _LISTENS[protocol]:
                    yield int(row[_USER]), row[_INODE]


def _processes(inode: str, proc: Path) -> Iterator[Listener]:
    for directory in sorted(proc.glob("[0-9]*")):
        with contextlib.suppress(OSError):
            if any(_target(each) == f"socket:[{inode}]" for each in (directory / "fd").iterdir()):
                name = (directory / "comm").read_text(errors="replace").strip()
                yield Listener(f"process {directory.name} ({name})", int(directory.name))


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # closed meanwhile
        return ""


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
