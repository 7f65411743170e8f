"""
Which process listens at a port of this host, as far as the kernel tells.

Blocks. The processes of other users can't be looked into without root: then the user is named.
"""

import contextlib
import pwd
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")

_LISTENS = {"tcp": "0A", "udp": "07"}
# Columns of /proc/net/tcp and udp.
_LOCAL, _STATE, _USER, _INODE = 1, 3, 7, 9


def describe(port: int, protocol: str, proc: Path = PROC) -> str:
    """Name the process that has *port*; "" where nobody is found."""
    for user, inode in _sockets(port, protocol, proc):
        for process in _processes(inode, proc):
            return process
        return f"a process of user {_name(user)}"
    return ""


def _sockets(port: int, protocol: str, proc: Path) -> Iterator[tuple[int, str]]:
    """List the user and the inode of each socket that has *port*."""
    for table in (protocol, f"{protocol}6"):
        with contextlib.suppress(OSError):
            for line in (proc / "net" / table).read_text().splitlines()[1:]:
                row = line.split()
                number = int(row[_LOCAL].rpartition(":")[2], 16)
                if number == port and row[_STATE] == _LISTENS[protocol]:
                    yield int(row[_USER]), row[_INODE]


def _processes(inode: str, proc: Path) -> Iterator[str]:
    for directory in sorted(proc.glob("[0-9]*")):
        with contextlib.suppress(OSError):
            if any(_target(each) == f"socket:[{inode}]" for each in (directory / "fd").iterdir()):
                name = (directory / "comm").read_text().strip()
                yield f"process {directory.name} ({name})"


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
