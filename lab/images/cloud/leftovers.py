"""
Finds the images that nobody needs. An image that a disk stands on is needed, whatever lab it is of.

A disk of a lab is an overlay: without its image it is nothing. So every qcow2 file of every lab is
asked what it stands on, snapshots included, before an image is taken for unused.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from lab import commands, host, locks
from lab.errors import LabError
from lab.images.cloud import cache, catalogue


@dataclass(frozen=True, slots=True)
class Unused:
    """An image in the cache that nothing stands on, and how much room it takes."""

    path: Path
    bytes: int
    is_current: bool
    """whether the catalogue would make or fetch just this one again"""


def overlays() -> dict[Path, tuple[Path, ...]]:
    """Return the disks of all labs by the image that they stand on."""
    found: dict[Path, tuple[Path, ...]] = {}
    for disk in sorted(host.labs_dir().glob("*/**/*.qcow2")):
        if (base := _base(disk)) is not None:
            found[base] = (*found.get(base, ()), disk)
    return found


def find() -> tuple[Unused, ...]:
    """Return what nothing stands on: first what the catalogue doesn't name any more."""
    found = sorted(_unused(), key=lambda each: (each.is_current, each.path))
    return tuple(found)


def remove(unused: Unused) -> bool:
    """Remove an image if still nothing stands on it, and tell whether it went."""
    with locks.of_host(), filelock.FileLock(f"{unused.path}.lock"):
        if unused.path in {disk.parent for disk in overlays()}:
            return False
        shutil.rmtree(unused.path)
    return True


def _unused() -> Iterator[Unused]:
    current = {cache.digest_of(image) for image in catalogue.known()}
    needed = {disk.parent for disk in overlays()}
    for path in cache.home().iterdir():
        if path.is_dir() and path not in needed:
            size = sum(each.stat().st_size for each in path.iterdir())
            yield Unused(path, size, path.name in current)


def _base(disk: Path) -> Path | None:
    answer = commands.ask("qemu-img", "info", "--force-share", "--output=json", str(disk))
    if not answer.ok:
        message = f"{disk}: nobody knows what it stands on: {answer.err.strip()}"
        raise LabError(message, element=str(disk), hint="take its lab down, or remove the file")
    found = json.loads(answer.out).get("full-backing-filename")
    return Path(found) if found else None
