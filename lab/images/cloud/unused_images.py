"""
Finds what nobody needs of the cache of images, and takes it away.

An image that a disk stands on is needed, whoever's it is. What is to go is judged again under its
own lock, which is held wherever a disk is made on an image (`cache.held`).
"""

import contextlib
import enum
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.images.cloud import cache, catalogue, download
from lab.images.cloud.overlays import overlays
from lab.system import locks, trees


class Kind(enum.StrEnum):
    """What a leftover is."""

    IMAGE = "image"
    DRAFT = "half made"
    LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Unused:
    """Something of the cache that nothing stands on, and how much room it takes."""

    kind: Kind
    path: Path
    bytes: int
    is_current: bool
    """whether the catalogue would make or fetch just this one again"""


def find() -> tuple[Unused, ...]:
    """Return what nothing stands on: first what the catalogue doesn't name any more."""
    found = sorted(
        (*_images(), *_drafts(), *_locks()), key=lambda each: (each.is_current, each.path)
    )
    return tuple(found)


def remove(unused: Unused) -> bool:
    """Remove *unused* if still nobody is at work on it, or stands on it; tell whether it went."""
    image = cache.home() / _digest(unused.path)
    lock = locks.take(image)
    if lock is None:
        return False
    with lock:
        if unused.path in _needed():
            return False
        _remove(unused.path)
        if not image.exists():
            locks.discard(image)
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.suffix != locks.SUFFIX:
        path.unlink(missing_ok=True)


def _images() -> Iterator[Unused]:
    needed, current = _needed(), _current()
    for path in cache.home().iterdir():
        if path.is_dir() and path not in needed:
            yield Unused(Kind.IMAGE, path, _size(path), path.name in current)


def _drafts() -> Iterator[Unused]:
    """Yield what broke off: of a build, what was killed; of a download, what has come so far."""
    current = _current()
    for path in cache.making().iterdir():
        if not _is_held(path):
            goes_on = path.suffix == download.PART and _digest(path) in current
            yield Unused(Kind.DRAFT, path, _size(path), goes_on)


def _locks() -> Iterator[Unused]:
    """Yield locks of images that there aren't."""
    for path in cache.home().glob(f"*{locks.SUFFIX}"):
        if not path.with_suffix("").exists() and not _is_held(path):
            yield Unused(Kind.LOCK, path, 0, is_current=False)


def _size(path: Path) -> int:
    total = 0
    for each in {path, *trees.files(path)}:
        with contextlib.suppress(FileNotFoundError):  # it goes while we look
            total += 0 if each.is_dir() else each.lstat().st_size
    return total


def _is_held(path: Path) -> bool:
    return locks.is_held(cache.home() / _digest(path))


def _digest(path: Path) -> str:
    return path.name.partition(".")[0]


def _needed() -> frozenset[Path]:
    return frozenset(disk.parent for disk in overlays())


def _current() -> frozenset[str]:
    return frozenset(cache.digest_of(image) for image in catalogue.known())
