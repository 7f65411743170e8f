"""
The literal files of services, as they lie on the device for podman to mount.

Each container has a directory of its own in the agent's state, which only the agent may enter: the
files may hold secrets, and outlive a reboot. It is named by chance, and the container's label
`containers.LABEL_FILES` tells it, so that no container is ever shown the files of another or of its
own next version. It is written before its container is made, and goes after that. What is left of a
container that went without us, or that may never have been made, goes with the next `sweep`. One
that is lost makes its container fail to start, and so be made anew, with its files.

Blocks; runs in a thread.
"""

import os
import shutil
import threading
import uuid
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import structlog

from fleet import errors
from fleet.agent.system import durable_files
from fleet.contracts.container_fields import File

log = structlog.get_logger(__name__)

_OWN = 0o700


class FileStore:
    """Files below *root*. Without one there is nothing to keep, and nothing can be written."""

    def __init__(self, root: Path | None) -> None:
        self._has_root = root is not None
        self._root = root or Path(os.devnull)
        self._lock = threading.Lock()
        self._made: set[str] = set()

    def write(self, files: Sequence[File], *, element: str) -> str:
        """
        Write *files* for one container; return the name under which they are kept, "" for none.

        No sweep takes them before it is said that they are `settled`.

        :raises errors.FilesUnavailable: they couldn't be written; nothing is left of them.
        """
        if not files:
            return ""
        name = uuid.uuid4().hex
        with self._lock:
            self._made.add(name)
        try:
            self._write(self._root / name, files)
        except OSError as exc:
            self.remove(name)
            raise errors.FilesUnavailable(
                f"files can't be written below {self._root}: {exc.strerror}; see to the disk",
                element=element,
            ) from exc
        return name

    def path(self, name: str, number: int) -> Path:
        """Say where the file of that *number* lies."""
        return self._root / name / str(number)

    def remove(self, name: str) -> None:
        """Remove what is kept under *name*; what can't be removed is left for `sweep`."""
        if name.isalnum():  # whatever a label says
            shutil.rmtree(self._root / name, ignore_errors=True)
            self.settled(name)

    def settled(self, name: str) -> None:
        """Note that the container of what is kept under *name* was made, or never will be."""
        with self._lock:
            self._made.discard(name)

    def sweep(self, kept: Callable[[], Collection[str]]) -> None:
        """Remove all but what containers have (*kept*), and what one is being made with."""
        if not self._has_root:
            return
        try:
            found = {each.name for each in self._root.iterdir()}
        except OSError:  # there is none, or it can't be read: then nothing is removed
            return
        # In this order: what was there, and isn't being made any more, has its container by now.
        with self._lock:
            found -= self._made
        if not found:
            return
        for name in sorted(found.difference(kept())):
            log.info("files of a container that is gone", name=name)
            self.remove(name)

    def _write(self, directory: Path, files: Sequence[File]) -> None:
        self._root.mkdir(mode=_OWN, parents=True, exist_ok=True)
        directory.mkdir(mode=_OWN)
        for number, file in enumerate(files):
            content = file.content.encode()
            durable_files.replace(directory / str(number), content, mode=int(file.mode, 8))
        durable_files.sync(self._root)
