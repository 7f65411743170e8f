"""
Keeps what was built. A directory is there complete, or not at all: everything
is made in a `.partial` beside it and renamed into place.

What is reused is checked by name and size on every use, which costs no
reading; `verify` reads everything and compares the digests.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from lab.toolchain.progress import Say

_MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Store:
    """A directory of parts, and of toolchains that are put together from them."""

    directory: Path

    @contextmanager
    def locked(self, say: Say) -> Iterator[None]:
        """Hold the store for this process. The lock ends with the process, however it ends."""
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.directory / "lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            say(f"another build is at work in {self.directory}; waiting for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def bin(self, key: str) -> Path:
        """Name the directory in which the programs of *key* lie."""
        return self.directory / key / "bin"

    def holds(self, key: str) -> bool:
        """Tell whether *key* is here, with every file of the size it was built with."""
        try:
            manifest = json.loads((self.directory / key / _MANIFEST).read_text())
            return {name: file["size"] for name, file in manifest.items()} == _sizes(self.bin(key))
        except (OSError, ValueError):
            return False

    def verify(self, key: str) -> tuple[str, ...]:
        """List the files of *key* that aren't what was built."""
        manifest = json.loads((self.directory / key / _MANIFEST).read_text())
        return tuple(
            name
            for name, file in manifest.items()
            if not (path := self.bin(key) / name).exists() or _sha256(path) != file["sha256"]
        )

    def keep(self, key: str, make: Callable[[Path], None]) -> None:
        """Have *make* fill a directory, and keep it as *key*. Call this under the lock."""
        partial = self.directory / f"{key}.partial"
        # Left by a build that was killed: the lock says that nobody is at it.
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "bin").mkdir(parents=True)
        try:
            make(partial / "bin")
            (partial / _MANIFEST).write_text(json.dumps(_manifest(partial / "bin"), indent=1))
            shutil.rmtree(self.directory / key, ignore_errors=True)
            partial.rename(self.directory / key)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def link(self, key: str, into: Path) -> None:
        """Put the programs of *key* into another directory, at no cost in space."""
        for path in self.bin(key).iterdir():
            os.link(path, into / path.name)


def _manifest(directory: Path) -> Mapping[str, Mapping[str, int | str]]:
    return {
        name: {"size": size, "sha256": _sha256(directory / name)}
        for name, size in _sizes(directory).items()
    }


def _sizes(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(directory.iterdir())}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
