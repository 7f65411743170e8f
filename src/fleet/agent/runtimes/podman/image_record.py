"""
The images that the agent brought, in a file, since podman doesn't know who pulled what.

Where the file is lost, so is the right to remove: those images stay.
"""

from pathlib import Path

import msgspec
import structlog

from fleet import threads
from fleet.agent.runtimes.podman.pruning import Brought

log = structlog.get_logger(__name__)


class Record:
    """The file in which the brought images stand; None keeps them in memory."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def read(self) -> Brought:
        """Read it. One that is missing or damaged gives no right to anything."""
        if self._path is None:
            return {}
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, frozenset[str]])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as exc:
            log.warning("record of images not read", file=str(self._path), error=str(exc))
            return {}

    async def write(self, brought: Brought) -> None:
        """
        Write it, whole or not at all.

        Not synced: what a loss of power takes away costs room on the disk, and flash wears.
        """
        path = self._path
        if path is not None:
            content = msgspec.json.encode({i: sorted(names) for i, names in brought.items()})
            try:
                await threads.call(lambda: _replace(path, content), name="images")
            except OSError as exc:
                log.warning("record of images not written", file=str(path), error=str(exc))


def _replace(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new.write_bytes(content)
    new.replace(path)
