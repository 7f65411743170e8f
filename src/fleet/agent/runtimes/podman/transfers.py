"""
Images that are on their way to the disk, so that a loss of power leaves none behind in half.

podman counts an image as there before its files are on the disk: a power cut within the next
seconds leaves files without content under names that say they are complete. So what is begun
stands in a file, durably, until all of it was synced; what stands there at the start is suspect.
"""

import asyncio
import os
from collections import Counter
from pathlib import Path

import msgspec
import structlog

from fleet import threads
from fleet.agent.system import durable_files

log = structlog.get_logger(__name__)


class Transfers:
    """The images, by reference, that are being brought; *path* is the file, None keeps none."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.suspect = self._read()
        """those that were being brought when the agent, or the power, went away"""
        self._begun = Counter(self.suspect)
        self._writing = asyncio.Lock()

    async def begin(self, image: str) -> None:
        """Note, durably, that *image* is being brought."""
        self._begun[image] += 1
        await self._write()

    async def end(self, image: str) -> None:
        """Put all of *image* on the disk, and then forget about it, unless others bring it too."""
        if self._path is not None:
            await threads.call(os.sync, name="sync")
        await self._forget(image)

    async def settle(self, image: str) -> None:
        """Suspect *image* no longer: what had come of it is gone, or is in use and was before."""
        self.suspect.discard(image)
        await self._forget(image)

    def _read(self) -> set[str]:
        if self._path is None:
            return set()
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=set[str])
        except FileNotFoundError:
            return set()
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as exc:
            log.warning("transfers not read", file=str(self._path), error=str(exc))
            return set()

    async def _forget(self, image: str) -> None:
        self._begun[image] -= 1
        self._begun = +self._begun
        await self._write()

    async def _write(self) -> None:
        path = self._path
        if path is None:
            return
        async with self._writing:
            # What is current by now, which is no older than what this call is about.
            content = msgspec.json.encode(sorted(self._begun))
            try:
                await threads.call(lambda: durable_files.replace(path, content), name="transfers")
            except OSError as exc:
                log.warning("transfers not written", file=str(path), error=str(exc))
