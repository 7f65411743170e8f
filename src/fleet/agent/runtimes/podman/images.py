"""
Bring images, remember which, and let go of those that nobody needs.

What the agent brought stands in a file, since podman doesn't know who pulled
what. Where the file is lost, so is the right to remove: those images stay.

Deployments that want the same image, which isn't there, take turns: the first brings it, and the
others find it there.

Pruning waits for nobody and nobody waits for it; only a pull that finds no
space left makes room first, once, and tries again.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec
import structlog

from fleet import errors, threads
from fleet.agent.runtimes.podman import pruning
from fleet.agent.runtimes.podman.pruning import Brought
from fleet.agent.runtimes.podman.transfers import Transfers
from fleet.agent.runtimes.port import Fetched, Image, Runtime
from fleet.contracts.scores import PullPolicy

log = structlog.get_logger(__name__)

Fetch = Callable[[str, PullPolicy], Awaitable[object]]

# Images become unused when versions change, and that is when others are brought.
_LOOK_SECONDS = 3600.0
# Time for the version that was brought to take the place of the one that it replaces.
_SETTLE_SECONDS = 60.0


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


@dataclass(frozen=True, slots=True)
class Keeping:
    """
    How images are kept: *budget* bytes of unused ones; *record* tells which are ours.

    *transfers* is the file that tells which are being brought (`transfers`).
    """

    budget: int = 2 * 2**30
    record: Record = Record(None)  # noqa: RUF009 - holds nothing
    transfers: Path | None = None
    look: float = _LOOK_SECONDS
    settle: float = _SETTLE_SECONDS


class Images:
    """The images of a device. *wanted* lists the references that deployments want now."""

    def __init__(
        self, runtime: Runtime, keeping: Keeping, wanted: Callable[[], Iterable[str]]
    ) -> None:
        self._runtime = runtime
        self._keeping = keeping
        self._wanted = wanted
        self._brought = keeping.record.read()
        self._transfers = Transfers(keeping.transfers)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._changed = asyncio.Event()
        self._lock = asyncio.Lock()
        self._writing = asyncio.Lock()

    async def fetch(self, image: str, policy: PullPolicy) -> None:
        """Have *image* on the device, wholly on its disk where it is new: see `Runtime.fetch`."""
        is_sound = image not in self._turns and image not in self._transfers.suspect
        if is_sound and await self._is_there(image, policy):
            return
        async with self._turns.setdefault(image, asyncio.Lock()):
            if policy is not PullPolicy.NEVER and image in self._transfers.suspect:
                await self._discard(image, policy)
            fetched = await self._fetch(image, policy)
        if fetched is not None:
            await self._keep(pruning.bring(self._brought, fetched.image, is_new=fetched.is_new))
            self._changed.set()

    async def _fetch(self, image: str, policy: PullPolicy) -> Fetched | None:
        if policy is PullPolicy.NEVER:
            return await self._runtime.fetch(image, policy)  # or rather, say that it isn't there
        if await self._is_there(image, policy):
            return None
        await self._transfers.begin(image)
        try:
            fetched = await self._bring(image, policy)
        except errors.FleetError:
            await self._transfers.end(image)
            raise
        await self._transfers.end(image)
        return fetched

    async def _is_there(self, image: str, policy: PullPolicy) -> bool:
        """Tell whether *image* is on the device, and need not be looked for elsewhere."""
        return policy is PullPolicy.IF_NOT_PRESENT and bool(await self._runtime.image_id(image))

    async def _bring(self, image: str, policy: PullPolicy) -> Fetched | None:
        """Bring *image*; where the disk is full, make room first, once."""
        try:
            return await self._runtime.fetch(image, policy)
        except errors.DiskFull:
            if not await self.prune(0):
                raise
            return await self._runtime.fetch(image, policy)

    async def _discard(self, image: str, policy: PullPolicy) -> None:
        """
        Let go of what was brought of *image* when the power went away.

        Layers may be there without their image. It is brought with them, so that removing it
        removes them too.
        """
        await self._bring(image, policy)
        for found in await self._runtime.images():
            if image in found.names:
                log.warning("image was interrupted; bringing it anew", image=image)
                try:
                    await self._runtime.remove_image(found)
                except errors.ContainerFailed as exc:  # a container stands on it: of before
                    log.debug("image not discarded", image=image, error=str(exc))
        await self._transfers.settle(image)

    async def run(self) -> None:
        """Prune now and then, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._keeping.look):
                    await self._changed.wait()
                    await asyncio.sleep(self._keeping.settle)
            self._changed.clear()
            try:
                await self.prune(self._keeping.budget)
            except errors.FleetError as exc:
                log.debug("images not pruned", reason=exc.reason, error=str(exc))

    async def prune(self, budget: int) -> bool:
        """Let unused images go until they take *budget* bytes at most; tell whether any went."""
        async with self._lock:
            images, wanted = await self._runtime.images(), await self._wanted_ids()
            await self._keep(pruning.arrange(self._brought, images, wanted))
            gone = [
                await self._remove(image)
                for image in pruning.surplus(self._brought, images, wanted, budget)
            ]
        return any(gone)

    async def _wanted_ids(self) -> frozenset[str]:
        found = [await self._runtime.image_id(reference) for reference in set(self._wanted())]
        return frozenset(image_id for image_id in found if image_id)

    async def _remove(self, image: Image) -> bool:
        """Remove *image*, unless it is wanted by now; podman itself keeps what a container uses."""
        if image.id in await self._wanted_ids():
            return False
        try:
            await self._runtime.remove_image(image)
        except errors.ContainerFailed as exc:
            log.debug("image not pruned", image=image.id, error=str(exc))
            return False
        log.info("image pruned", image=image.id, names=sorted(image.names), bytes=image.size)
        return True

    async def _keep(self, brought: Brought) -> None:
        if list(brought.items()) == list(self._brought.items()):
            return
        self._brought = brought
        async with self._writing:
            # What is current by now, which is no older than what this call is about.
            await self._keeping.record.write(self._brought)


def _replace(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new.write_bytes(content)
    new.replace(path)
