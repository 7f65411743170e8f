"""
The one program of the demo images, for this host's architecture and for others.

That of another architecture comes from the host's own package source, downloaded into the cache
with a package database of its own: nothing is installed, and the host's apt doesn't notice.
"""

import platform
import shutil
import tempfile
from pathlib import Path

from fleet import directories
from fleet.scores.linux.architecture import Arch
from lab.errors import PreflightFailed
from lab.system import commands, locks

_PACKAGE = "busybox-static"


def program(machine: str) -> Path:
    """
    Return busybox, statically linked, for what the kernel calls *machine*.

    :raises PreflightFailed: it isn't installed, and can't be had for another architecture.
    """
    if machine != platform.machine():
        return _foreign(Arch(machine))
    found = shutil.which("busybox")
    if found is None:
        hint = f"apt-get install {_PACKAGE}"
        raise PreflightFailed("busybox is not installed", element="busybox", hint=hint)
    return Path(found)


def _foreign(arch: Arch) -> Path:
    where = directories.cache_dir() / "busybox" / arch
    if not where.exists():
        where.parent.mkdir(parents=True, exist_ok=True)
        with locks.beside(where):
            if not where.exists():
                _download(arch, where)
    return where


def _download(arch: Arch, where: Path) -> None:
    if shutil.which("apt-get") is None:
        hint = "on a host without apt, leave devices of other architectures out"
        message = f"busybox for {arch} can't be had without apt"
        raise PreflightFailed(message, element=arch, hint=hint)
    with tempfile.TemporaryDirectory(dir=where.parent) as scratch:
        root = Path(scratch)
        for name in ("state/lists/partial", "cache/archives/partial"):
            (root / name).mkdir(parents=True)
        (root / "status").touch()
        options = (
            f"APT::Architecture={arch.debian}",
            f"APT::Architectures={arch.debian}",
            f"Dir::State={root / 'state'}",
            f"Dir::State::status={root / 'status'}",
            f"Dir::Cache={root / 'cache'}",
            "APT::Sandbox::User=root",
            "Acquire::Languages=none",
        )
        apt = ("apt-get", "-qq", *(part for option in options for part in ("-o", option)))
        commands.run(*apt, "update", within=300)
        commands.run("env", "-C", scratch, *apt, "download", _PACKAGE, within=300)
        commands.run("dpkg-deb", "--extract", str(next(root.glob("*.deb"))), str(root / "files"))
        (root / "files" / "bin" / "busybox").replace(where)
