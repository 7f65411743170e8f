"""
The cache of cloud images: ``$HARMONY_DATA_DIR/fleet/cloud-images/sha256/DIGEST/``.

A download has the digest of what was published; an image built here has that of its recipe, and its
description the digests of what came of it. A directory gets its name when all in it is complete and
verified, so what has a name may be used; nothing in it is ever written again. Many may ask for the
same image at once: one makes it, the others wait.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fleet import directories
from lab.errors import LabError
from lab.host.lab_host import read_json, write_json
from lab.images.cloud import build, download, overlays
from lab.images.cloud.catalogue import Built, Download, Image
from lab.system import locks

_DESCRIPTION = "image.json"
_READ_ONLY = 0o444
_PARTS = (build.DISK, build.KERNEL, build.INITRD, build.PACKAGES)
_CHUNK = 1 << 20


_IN_USE = "take their labs down, then try again"


class ImageInUse(LabError):
    """Disks of labs stand on an image that is damaged: without it they are nothing."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An image as it lies in the cache. Its files are read-only."""

    image: Image
    digest: str
    disk: Path
    kernel: Path | None
    initrd: Path | None

    @property
    def directory(self) -> Path:
        """Return where the image lies."""
        return self.disk.parent


def home() -> Path:
    """Return the directory of all images, made if need be."""
    path = directories.cache_dir() / "cloud-images" / "sha256"
    path.mkdir(parents=True, exist_ok=True)
    return path


def making() -> Path:
    """Return the directory of what isn't complete yet, made if need be."""
    path = home().with_name("making")
    path.mkdir(exist_ok=True)
    return path


def digest_of(image: Image) -> str:
    """Return what *image* is found by."""
    match image.source:
        case Download(sha256=digest):
            return digest
        case Built():
            return hashlib.sha256(build.described(image).encode()).hexdigest()


def stored(image: Image) -> Stored | None:
    """Return *image*, if it is there, and each file as long as it was; nothing is hashed."""
    where = home() / digest_of(image)
    sizes: Mapping[str, int] = read_json(where / _DESCRIPTION).get("sizes", {})
    if build.DISK not in sizes or _sizes(where) != sizes:
        return None
    parts = {name: where / name for name in sizes}
    return Stored(
        image,
        where.name,
        parts[build.DISK],
        parts.get(build.KERNEL),
        parts.get(build.INITRD),
    )


def is_incomplete(image: Image) -> bool:
    """Tell whether something of *image* is there that is no image any more."""
    return (home() / digest_of(image)).exists() and stored(image) is None


def ensure(image: Image, saw: Callable[[str], None]) -> Stored:
    """
    Return *image*, pulled or built now where it isn't there.

    :raises LabError: it can't be had; says why. What was fetched so far is kept.
    """
    if found := stored(image):
        return found
    with held(image, saw) as found:
        return found


@contextlib.contextmanager
def held(image: Image, saw: Callable[[str], None]) -> Iterator[Stored]:
    """
    Have *image*, as `ensure` does, and keep it from being taken away for as long as the block runs.

    A disk is made on it in there: until it is, nothing tells that the image is needed.
    """
    where = home() / digest_of(image)
    with locks.beside(where):
        if stored(image) is None:
            _make(image, where, saw)
        found = stored(image)
        if found is None:
            message = f"image {image.name} is not in {where} though it was made"
            raise LabError(message, element=image.name)
        yield found


def verify(image: Stored) -> tuple[str, ...]:
    """Hash every file of *image*, and name those that aren't what they were."""
    recorded: Mapping[str, str] = read_json(image.directory / _DESCRIPTION).get("files", {})
    return tuple(
        f"{name} is {'missing' if found is None else 'damaged'}"
        for name, wanted in sorted(recorded.items())
        if (found := _digest(image.directory / name)) != wanted
    )


def set_aside(image: Stored) -> Path:
    """
    Take a damaged image out of the cache, so that it is made anew; return where it is now.

    :raises ImageInUse: disks stand on it; what is made anew may have other bytes than they know.
    """
    aside = image.directory.with_name(f"{image.digest}.damaged")
    with locks.beside(image.directory):
        if disks := overlays.standing_on(image.disk):
            raise ImageInUse(f"{disks} stand on it", element=image.image.name, hint=_IN_USE)
        shutil.rmtree(aside, ignore_errors=True)
        image.directory.rename(aside)
    return aside


def _make(image: Image, where: Path, saw: Callable[[str], None]) -> None:
    draft = making() / where.name
    if where.exists() and (disks := overlays.standing_on(where / build.DISK)):
        message = f"image {image.name} in {where} is damaged, and {disks} stand on it"
        raise ImageInUse(message, element=image.name, hint=_IN_USE)
    for broken in (draft, where):  # of one that was killed, or truncated since: we hold the lock
        shutil.rmtree(broken, ignore_errors=True)
    draft.mkdir()
    try:
        match image.source:
            case Download() as source:
                download.fetch(source, draft / build.DISK, parts=making(), saw=saw)
            case Built():
                build.build(image, draft, saw)
        files = {name: _digest(draft / name) for name in _PARTS if (draft / name).exists()}
        for name in files:
            (draft / name).chmod(_READ_ONLY)
        about = {"image": image.name, "files": files, "sizes": _sizes(draft)}
        write_json(draft / _DESCRIPTION, about)
        _sync(draft)
        draft.rename(where)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _sizes(directory: Path) -> Mapping[str, int]:
    paths = (directory / name for name in _PARTS)
    return {path.name: path.stat().st_size for path in paths if path.exists()}


def _digest(path: Path) -> str | None:
    whole = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                whole.update(chunk)
    except FileNotFoundError:
        return None
    return whole.hexdigest()


def _sync(directory: Path) -> None:
    for path in (*directory.iterdir(), directory):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
