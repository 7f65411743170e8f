"""
The journal on disk: two files per deployment, ``<state_dir>/journal/<deployment>.entry``
and, where there is anything to say, ``<deployment>.record``.

One file for all would be rewritten, and be at stake, whenever one deployment
changes. So a deployment's file is written when its own content changed, and
never otherwise: flash wears by what changes, and whatever befalls a file costs
one deployment's entry, which the hub repeats.

A file appears complete or not at all (written beside, synced, renamed, directory
synced). Where that fails the older entry goes as well, if it can: an agent
that acts on what the hub no longer wants is worse than one that keeps what runs.
What was done stays done: an older record is kept. The directory is readable by
the agent alone, since scores may hold secrets.
"""

import contextlib
import os
import re
import stat
from datetime import UTC, datetime
from pathlib import Path

import structlog

from fleet import errors, threads
from fleet.agent.journal.store import Loaded
from fleet.agent.system import durable_files
from fleet.contracts.names import DeploymentName

log = structlog.get_logger(__name__)

ENTRY = ".entry"
RECORD = ".record"
# So many files set aside are kept for whoever wants to know what happened.
KEPT_ASIDE = 3

_ASIDE = re.compile(r"\.damaged-(\d+)\Z")
# Far more than a bucket takes as one value, and little enough to read.
_LONGEST = 4 * 1024 * 1024


class FileStore:
    """`store.Store` of the files in *directory* with that *ending*. It is made when needed."""

    def __init__(self, directory: Path, ending: str = ENTRY) -> None:
        self._directory = directory
        self._ending = ending

    async def load(self) -> Loaded:
        """Read all of it, and clear away what a crash left half-written."""
        return await threads.call(self.read, name="journal")

    async def put(self, deployment: DeploymentName, content: bytes) -> None:
        """Write *content*, durably."""
        await threads.call(lambda: self._put(deployment, content), name="journal")

    async def remove(self, deployment: DeploymentName) -> None:
        """Drop an entry, durably."""
        await threads.call(lambda: self._remove(deployment), name="journal")

    async def set_aside(self, deployment: DeploymentName) -> str:
        """Rename an entry that can't be read."""
        path = self._path(deployment)
        return str(await threads.call(lambda: self._set_aside(path), name="journal"))

    def read(self) -> Loaded:
        """Read all of it, for whoever may block."""
        content: dict[DeploymentName, bytes] = {}
        complaints: list[str] = []
        for path in self._entries():
            try:
                content[DeploymentName(path.name.removesuffix(self._ending))] = _read(path)
            except (OSError, errors.InvalidName) as exc:
                reason = exc.strerror if isinstance(exc, OSError) else str(exc)
                complaints.append(f"{path.name}: {reason}; see {self._set_aside(path)}")
        return Loaded(content, tuple(complaints))

    def _entries(self) -> list[Path]:
        try:
            self._make()
            found = sorted(self._directory.iterdir())
        except OSError as exc:
            raise self._unavailable(exc) from exc
        for path in found:
            if path.name.endswith(self._ending + durable_files.NEW):
                with contextlib.suppress(OSError):
                    path.unlink()
        return [path for path in found if path.name.endswith(self._ending)]

    def _put(self, deployment: DeploymentName, content: bytes) -> None:
        path = self._path(deployment)
        try:
            self._make()
            durable_files.replace(path, content)
        except OSError as exc:
            if self._ending == ENTRY:
                self._let_go(path)
            raise self._unavailable(exc) from exc

    def _let_go(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            path.unlink()
            durable_files.sync(self._directory)

    def _remove(self, deployment: DeploymentName) -> None:
        try:
            with contextlib.suppress(FileNotFoundError):
                self._path(deployment).unlink()
                durable_files.sync(self._directory)
        except OSError as exc:
            raise self._unavailable(exc) from exc

    def _set_aside(self, path: Path) -> Path:
        """Rename *path*, and let go of all but the last few. Where that fails it stays."""
        target = path
        try:
            aside = self._aside()
            target = path.with_name(f"{path.name}.damaged-{max(aside, default=0) + 1}")
            path.rename(target)
            for number in sorted(aside)[: -KEPT_ASIDE + 1]:
                aside[number].unlink()
            durable_files.sync(self._directory)
        except OSError as exc:
            log.warning("not set aside", file=str(path), error=exc.strerror)
            return target if target.exists() else path
        return target

    def _aside(self) -> dict[int, Path]:
        found = (p for p in self._directory.iterdir() if f"{self._ending}.damaged-" in p.name)
        numbered = ((_ASIDE.search(path.name), path) for path in found)
        return {int(match[1]): path for match, path in numbered if match}

    def _path(self, deployment: DeploymentName) -> Path:
        return self._directory / f"{deployment}{self._ending}"

    def _make(self) -> None:
        self._directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory.mkdir(mode=0o700, exist_ok=True)
        if stat.S_IMODE(self._directory.stat().st_mode) != 0o700:  # noqa: PLR2004 - a mode
            self._directory.chmod(0o700)

    def _unavailable(self, error: OSError) -> errors.JournalUnavailable:
        return errors.JournalUnavailable(
            f"{self._directory}: {error.strerror}", element=str(self._directory)
        )


def peek(directory: Path) -> tuple[dict[DeploymentName, bytes], datetime | None]:
    """Look at a journal that may be another process's: change nothing, and tell its age."""
    content: dict[DeploymentName, bytes] = {}
    newest = 0.0
    with contextlib.suppress(OSError):
        for path in sorted(directory.glob(f"*{ENTRY}")):
            with contextlib.suppress(OSError, errors.InvalidName):
                content[DeploymentName(path.name.removesuffix(ENTRY))] = _read(path)
                newest = max(newest, path.stat().st_mtime)
    return content, datetime.fromtimestamp(newest, UTC) if newest else None


def _read(path: Path) -> bytes:
    """Read a plain file, and nothing that would never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it isn't a plain file")
        return file.read(_LONGEST)
