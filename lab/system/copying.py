"""Copies files as they are, holes and owners included, by reference where the file system can."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from lab.errors import PreflightFailed
from lab.system import commands, trees

_WITHIN = 900
_BLOCK = 512  # what st_blocks counts
_MARGIN = 256 << 20  # that shall stay free for what runs meanwhile: taste


def copy(source: Path, target: Path) -> None:
    """Copy the file or directory *source* to *target*, which isn't there yet."""
    target.parent.mkdir(parents=True, exist_ok=True)
    commands.run(
        "cp", "--archive", "--reflink=auto", "--sparse=always", "--no-target-directory",
        "--", str(source), str(target), within=_WITHIN,
    )  # fmt: skip


def replace(source: Path, target: Path) -> None:
    """Put a copy of *source* where *target* is. Until it is whole, *target* is what it was."""
    draft, old = (target.with_name(f".{target.name}.{suffix}") for suffix in ("new", "old"))
    for path in (draft, old):
        remove(path)
    copy(source, draft)
    if target.exists():
        target.rename(old)
    draft.rename(target)
    remove(old)


def remove(path: Path) -> None:
    """Remove a file or a directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def allocated(path: Path) -> int:
    """Return how many bytes of disk *path* and what is in it take; nothing where it isn't."""
    inside = () if path.is_symlink() else trees.beneath(path)
    return sum(map(_allocated, (path, *inside)))


def free(where: Path) -> int:
    """Return how many bytes are free on the disk of *where*."""
    return shutil.disk_usage(where).free


def require_room(
    where: Path, sizes: Iterable[int], what: str, room: Callable[[Path], int] = free
) -> None:
    """
    Refuse *what* where the disk of *where* hasn't *room* for *sizes*, in bytes.

    :raises PreflightFailed: says how much is needed, and how much is free.
    """
    needed, there = sum(sizes) + _MARGIN, room(where)
    if needed > there:
        raise PreflightFailed(
            f"{what} needs {needed >> 20} MiB on the disk of {where}, {there >> 20} MiB are free",
            element=str(where),
            hint="invoke lab.gc frees what no lab needs; lab.snapshot --list shows the snapshots",
        )


def _allocated(path: Path) -> int:
    try:
        return path.lstat().st_blocks * _BLOCK
    except FileNotFoundError:
        return 0
