"""
Images that are on their way to the disk, so that a loss of power leaves none behind in half.

podman counts an image as there before its files are on the disk: a power cut within the next
seconds leaves files without content under names that say they are complete. So what is begun
stands in a file, durably, until all of it was synced; what stands there at the start is suspect,
if the machine has been booted since: as long as it runs, all that was written can be read. The
boot stands in the file as one more line, which the version before takes for an image that nobody
asks for.
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

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BOOT = "boot "  # no reference of an image has a space


def this_boot() -> str:
    """Name the boot of this machine; "" where that can't be read, and any may have been."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


class Transfers:
    """
    The images, by reference, that are being brought; *path* is the file, None keeps none.

    *boot* names the boot of the machine.
    """

    def __init__(self, path: Path | None, boot: str) -> None:
        self._path = path
        self._boot = boot
        begun, is_same_boot = self._read()
        self.suspect = set() if is_same_boot else begun
        """those that were being brought when the power went away"""
        self.unfinished = begun if is_same_boot else set()
        """those that were being brought when the agent went away, which is due to end them"""
        self._begun = Counter(begun)
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

    def _read(self) -> tuple[set[str], bool]:
        """Read what was begun, and whether that was in this boot."""
        if self._path is None:
            return set(), True
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=set[str])
        except FileNotFoundError:
            return set(), True
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as exc:
            log.warning("transfers not read", file=str(self._path), error=str(exc))
            return set(), True
        begun = {image for image in found if not image.startswith(_BOOT)}
        return begun, bool(self._boot) and _BOOT + self._boot in found

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
            # Beside suspects of an earlier boot this one's line would clear them of suspicion.
            is_to_tell = self._begun and self._boot and not self.suspect
            boot = [_BOOT + self._boot] if is_to_tell else []
            content = msgspec.json.encode([*boot, *sorted(self._begun)])
            try:
                await threads.call(lambda: durable_files.replace(path, content), name="transfers")
            except OSError as exc:
                log.warning("transfers not written", file=str(path), error=str(exc))
