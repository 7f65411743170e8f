"""Files that outlive a loss of power: whole or not at all, and readable by the agent alone."""

import os
from pathlib import Path

NEW = ".new"
_OWN = 0o600


def replace(path: Path, content: bytes, *, mode: int = _OWN) -> None:
    """
    Put *content* in the place of *path*: written beside, synced, renamed, directory synced.

    *mode* is for a file in a directory that the agent alone may enter.

    :raises OSError: it couldn't be written; what was there before stays.
    """
    new = path.with_name(path.name + NEW)
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _OWN)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        new.replace(path)
        sync(path.parent)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def sync(directory: Path) -> None:
    """Put what was renamed in or removed from *directory* on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
