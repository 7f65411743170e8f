"""Finds the images that nobody needs: an image that a disk stands on is needed, whoever's it is."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from lab import locks
from lab.images.cloud import cache, catalogue
from lab.images.cloud.overlays import overlays


@dataclass(frozen=True, slots=True)
class Unused:
    """An image in the cache that nothing stands on, and how much room it takes."""

    path: Path
    bytes: int
    is_current: bool
    """whether the catalogue would make or fetch just this one again"""


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
