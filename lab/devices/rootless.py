"""
What a device needs so that an unprivileged user runs its podman and its agent.

As on a real rootless host: a user with ranges of subordinate ids (newuidmap, newgidmap), a runtime
directory of its own, slirp4netns. All of it exists in the device's mount namespace alone: the
host's ``/etc/passwd`` and ``/etc/subuid`` stay as they are, and what the user must reach beneath a
directory that is closed to it (``/root``) is bound there anew.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

IDS = 1 << 16  # of a device: its user, then the ids of its containers' users
PROGRAMS = ("newuidmap", "newgidmap", "slirp4netns")
_NAME = "device"
_IDENTITY = "/run/identity"
_KEPT = "/run/kept"


def runtime_directory(user: int) -> str:
    """Return where the programs of *user* keep what a reboot ends."""
    return f"/run/user/{user}"


def temporary(user: int) -> Path:
    """Return podman's own place in there; its sockets need a short path."""
    return Path(runtime_directory(user), "libpod")


def environment(user: int) -> Mapping[str, str]:
    """Return what the programs of *user* find set besides podman's files."""
    return {"XDG_RUNTIME_DIR": runtime_directory(user), "USER": _NAME, "LOGNAME": _NAME}


def mounts(user: int, home: Path, reached: Iterable[Path]) -> tuple[str, ...]:
    """
    Return the commands that make the device's mounts a rootless one's, run once inside.

    *reached* is what *user* must be able to reach, besides what is open to all.
    """
    return (
        *_opened(tuple(reached)),
        *_identity(user, home),
        # Many hosts keep it for root; slirp4netns opens it as the user.
        "mount -t tmpfs -o mode=755 tmpfs /dev/net && mknod -m 666 /dev/net/tun c 10 200",
        f"install -d -m 700 -o {user} -g {user} {runtime_directory(user)}",
        "mount --make-shared /",  # as on a real host; podman warns otherwise
    )


def is_open(path: Path) -> bool:
    """Tell whether anybody may pass through the directory *path*."""
    return bool(path.stat().st_mode & 0o001)


def _opened(reached: tuple[Path, ...]) -> Iterator[str]:
    """Bind every path of *reached* that lies beneath a closed directory over that directory."""
    closed = {path: _closed_above(path) for path in reached}
    hidden = {path: above for path, above in closed.items() if above is not None}
    for number, path in enumerate(hidden):
        yield f"mkdir -p {_KEPT}/{number} {_quoted(path)}"
        yield f"mount --bind {_quoted(path)} {_KEPT}/{number}"
    for above in dict.fromkeys(hidden.values()):
        yield f"mount -t tmpfs -o mode=755 tmpfs {_quoted(above)}"
    for number, path in enumerate(hidden):
        yield f"mkdir -p {_quoted(path)} && mount --move {_KEPT}/{number} {_quoted(path)}"


def _closed_above(path: Path) -> Path | None:
    """Return the outermost directory above *path* that is closed to others."""
    above = (each for each in reversed(path.parents) if each.exists() and not is_open(each))
    return next(above, None)


def _identity(user: int, home: Path) -> Iterator[str]:
    """Let the device know its user, and the ids that are the user's to give."""
    ids = f"{user}:{user + 1}:{IDS - 1}"
    lines = {
        "passwd": f"{_NAME}:x:{user}:{user}::{home}:/bin/sh",
        "group": f"{_NAME}:x:{user}:",
        "subuid": ids,
        "subgid": ids,
    }
    yield f"mkdir -p {_IDENTITY}"
    for name, line in lines.items():
        own = f"{_IDENTITY}/{name}"
        yield f"{{ cat /etc/{name}; echo {shlex.quote(line)}; }} > {own}"
        yield f"mount --bind {own} /etc/{name}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
