"""Device nodes for tests, below a directory of their own in /dev."""

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ZERO = os.makedev(1, 5)
MEMORY = os.makedev(1, 1)
FULL = os.makedev(1, 7)
LOOP_CONTROL = os.makedev(10, 237)


@dataclass(frozen=True, slots=True)
class Nodes:
    """Nodes that a test makes and removes."""

    directory: Path

    def plug(self, name: str, number: int = ZERO, *, block: bool = False) -> str:
        """Make a node, and return its path."""
        path = self.directory / name
        os.mknod(path, 0o600 | (stat.S_IFBLK if block else stat.S_IFCHR), number)
        return str(path)

    def unplug(self, name: str) -> None:
        """Remove a node."""
        (self.directory / name).unlink()


@contextlib.contextmanager
def nodes() -> Iterator[Nodes]:
    """Make the directory; it goes with all in it."""
    directory = Path(tempfile.mkdtemp(prefix="fleet-test-", dir="/dev"))
    try:
        yield Nodes(directory)
    finally:
        shutil.rmtree(directory)
