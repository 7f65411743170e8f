"""Mounts and directories outside the lab's own state: what is mounted, and putting it back."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from lab.errors import LabError
from lab.host.ledger import Entry, Kind, Ledger
from lab.system import commands, locks, procfs


def mounted(process: int | None = None) -> tuple[Path, ...]:
    """
    Return every mount point that *process*, or this one, sees, in the order they were mounted.

    :raises OSError: it has ended.
    """
    place = procfs.PROC / ("self" if process is None else str(process)) / "mountinfo"
    lines = place.read_text().splitlines()
    return tuple(Path(_plain(line.split()[4])) for line in lines)


def is_mounted(path: Path) -> bool:
    """Tell whether something is mounted at *path*."""
    return path.resolve() in mounted()


def is_namespace(path: Path) -> bool:
    """Tell whether a namespace is bound at *path*."""
    try:
        return path.stat().st_dev == Path("/proc/self/ns/net").stat().st_dev
    except OSError:
        return False


def unmount(path: Path) -> None:
    """Unmount all that is mounted at *path*, however often."""
    while is_mounted(path):
        commands.run("umount", str(path))


def unmount_beneath(path: Path) -> None:
    """Unmount all that is mounted at or beneath *path*, the last mounted first."""
    for found in reversed(mounted()):
        if found == path or path in found.parents:
            commands.run("umount", "-l", str(found))


def claim_directory(ledger: Ledger, path: Path) -> None:
    """
    Make the host's directory *path*, to be removed again, unless it was there before all labs.

    Labs share it: the last one that goes removes it.
    """
    with locks.of_host():
        if not path.exists() or any(_others_with(path, ledger.path)):
            ledger.intend(Kind.DIRECTORY, str(path), shared=str(ledger.path))
            path.mkdir(parents=True, exist_ok=True)


def make_closed(ledger: Ledger, path: Path) -> None:
    """
    Make *path*, wholly ours, in a place where anybody may make things: it must be new.

    Others can pass through, to what was made theirs, but neither look nor make anything.
    """
    if ledger.find(Kind.DIRECTORY, str(path)) is None:
        if os.path.lexists(path):
            raise LabError(f"{path} is somebody else's", element=str(path), hint=f"remove {path}")
        ledger.intend(Kind.DIRECTORY, str(path), whole=True)
    path.mkdir(mode=0o711, exist_ok=True)


def undo_mount(entry: Entry) -> None:
    """Unmount what we mounted."""
    unmount(Path(entry.name))


def undo_directory(entry: Entry) -> None:
    """Remove a directory: with all in it if it is wholly ours, else only when it is empty."""
    path = Path(entry.name)
    if not path.is_dir():
        return
    if entry.facts.get("whole"):
        unmount_beneath(path)
        shutil.rmtree(path)
        return
    with locks.of_host():
        has_users = any(_others_with(path, Path(entry.facts["shared"]))) or any(path.iterdir())
        if not has_users and not _is_mounted_anywhere(path):
            path.rmdir()


def _is_mounted_anywhere(path: Path) -> bool:
    """
    Tell whether any process sees something mounted at *path*, in whatever mount namespace.

    A lab of another data directory may: the kernel takes a mount away with its directory.
    """
    seen = set[Path]()
    for process in procfs.pids():
        try:
            namespace = (procfs.PROC / str(process) / "ns/mnt").readlink()
            if namespace not in seen and path in mounted(process):
                return True
        except OSError:  # it has ended
            continue
        seen.add(namespace)
    return False


def _others_with(path: Path, ours: Path) -> Iterator[Path]:
    """Yield the ledgers of other labs that claim *path* too."""
    for book in ours.parent.parent.glob(f"*/{ours.name}"):
        if book != ours and Ledger(book).find(Kind.DIRECTORY, str(path)):
            yield book


def undo_sysctl(entry: Entry) -> None:
    """Put a setting of the host back to what it was."""
    path = Path(entry.name)
    if path.exists() and path.read_text().strip() == entry.facts["ours"]:
        path.write_text(entry.facts["before"] + "\n")


def escaped(path: Path) -> str:
    r"""Write *path* as ``/proc/self/mountinfo`` does (``\040`` for a space)."""
    return re.sub(r"[ \t\n\\]", lambda found: f"\\{ord(found[0]):03o}", str(path))


def _plain(field: str) -> str:
    r"""Undo the kernel's octal escapes (``\040`` for a space)."""
    return field.encode().decode("unicode_escape") if "\\" in field else field
