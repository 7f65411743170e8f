"""
Where paths lie in their file systems, by the kernel's table of mounts.

A file system, or a part of it, may be mounted at several places (a bind mount, a subvolume,
ostree's /sysroot): what lies in one is in the others, too, under another name.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

_TABLE = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")
_DEVICE, _ROOT, _POINT = 2, 3, 4

# A device, and a path within its file system.
Place: TypeAlias = tuple[str, Path]


@dataclass(frozen=True, slots=True)
class Mounts:
    """The mounts of a table: of each its point, and the place that is mounted there."""

    mounts: tuple[tuple[Path, Place], ...] = ()

    def places(self, path: Path) -> tuple[Place, ...]:
        """
        Say where *path*, which has no symlinks, lies, and what is mounted within it.

        None where the table doesn't tell.
        """
        # The last one at a point hides those before, and what lies deeper those around.
        around = [mount for mount in self.mounts if path.is_relative_to(mount[0])]
        if not around:
            return ()
        deepest = max(len(point.parts) for point, _ in around)
        point, (device, root) = [m for m in around if len(m[0].parts) == deepest][-1]
        within = (place for point, place in self.mounts if path in point.parents)
        return (device, root / path.relative_to(point)), *within


def current() -> Mounts:
    """Read the mounts that this process sees; none where they can't be read. Blocks."""
    try:
        return parse(_TABLE.read_text("utf-8", errors="surrogateescape"))
    except OSError:
        return Mounts()


def is_private(dev: Path) -> bool:
    """Tell whether *dev* was made for this process alone, rather than by the kernel. Blocks."""
    try:
        return kind(_TABLE.read_text("utf-8", errors="surrogateescape"), dev) == "tmpfs"
    except OSError:
        return False


def kind(table: str, point: Path) -> str:
    """Tell what kind of file system is mounted at *point*; "" for none."""
    rows = (line.partition(" - ") for line in table.splitlines())
    found = [
        kinds.partition(" ")[0]
        for row, _, kinds in rows
        if row.split(" ")[_POINT : _POINT + 1] == [str(point)]
    ]
    return found[-1] if found else ""


def parse(table: str) -> Mounts:
    """Read a table as in proc_pid_mountinfo(5)."""
    rows = (line.split(" ") for line in table.splitlines())
    return Mounts(
        tuple(
            (_path(row[_POINT]), (row[_DEVICE], _path(row[_ROOT])))
            for row in rows
            if len(row) > _POINT
        )
    )


def _path(field: str) -> Path:
    return Path(_ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), field))
