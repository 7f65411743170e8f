"""
Bring images, remember which, and let go of those that nobody needs.

Deployments that want the same image, which isn't there, take turns: the first brings it, and the
others find it there.

Pruning waits for nobody and nobody waits for it; only a pull that finds no
space left makes room first, once, and tries again.

A transfer that is broken off while the agent runs leaves nothing to suspect: what podman still
writes of it is put on the disk a little later. What a loss of power interrupted is discarded only
once its registry has shown that it can be brought anew.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

import structlog

from fleet import errors
from fleet.agent.runtimes.podman import pruning
from fleet.agent.runtimes.podman.image_record import Record
from fleet.agent.runtimes.podman.pruning import Brought
from fleet.agent.runtimes.podman.transfers import Transfers, this_boot
from fleet.agent.runtimes.port import Fetched, Image, Runtime
from fleet.contracts.scores import PullPolicy

log = structlog.get_logger(__name__)

Fetch = Callable[[str, PullPolicy], Awaitable[object]]

# Images become unused when versions change, and that is when others are brought.
_LOOK_SECONDS = 3600.0
# Time for the version that was brought to take the place of the one that it replaces.
_SETTLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Keeping:
    """
    How images are kept: *budget* bytes of unused ones; *record* tells which are ours.

    *transfers* is the file that tells which are being brought (`transfers`), *boot* the machine's.
    """

    budget: int = 2 * 2**30
    record: Record = Record(None)  # noqa: RUF009 - holds nothing
    transfers: Path | None = None
    boot: str = field(default_factory=this_boot)
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
        self._transfers = Transfers(keeping.transfers, keeping.boot)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._arrived: set[str] = set()
        self._broken_off = sorted(self._transfers.unfinished)
        self._changed = asyncio.Event()
        if self._broken_off:
            self._changed.set()
        self._lock = asyncio.Lock()
        self._writing = asyncio.Lock()

    async def fetch(self, image: str, policy: PullPolicy) -> None:
        """Have *image* on the device, wholly on its disk where it is new: see `Runtime.fetch`."""
        is_sound = image not in self._turns and image not in self._transfers.suspect
        if is_sound and await self._is_there(image, policy):
            return
        async with self._turns.setdefault(image, asyncio.Lock()):
            if policy is not PullPolicy.NEVER and image in self._transfers.suspect:
                await self._discard(image)
            fetched = await self._fetch(image, policy)
        if fetched is not None:
            self._arrived.add(fetched.image.id)
            await self._keep(pruning.bring(self._brought, fetched.image, is_new=fetched.is_new))
            self._changed.set()

    async def _fetch(self, image: str, policy: PullPolicy) -> Fetched | None:
        if policy is PullPolicy.NEVER:
            return await self._runtime.fetch(image, policy)  # or rather, say that it isn't there
        if await self._is_there(image, policy):
            return None
        try:
            await self._transfers.begin(image)
            fetched = await self._bring(image, policy)
        except asyncio.CancelledError:
            self._broken_off.append(image)  # podman may be writing what it has yet
            self._changed.set()
            raise
        except Exception:
            await asyncio.shield(self._transfers.end(image))
            raise
        await asyncio.shield(self._transfers.end(image))
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

    async def _discard(self, image: str) -> None:
        """
        Let go of what was brought of *image* when the power went away.

        Layers may be there without their image. It is brought with them, so that removing it
        removes them too. Asking its registry shows as well that it can be had once more: where
        that fails, nothing is removed and it stays suspect.
        """
        await self._bring(image, PullPolicy.ALWAYS)
        for found in await self._runtime.images():
            if image in found.names and await self._can_be_had_again(found.names - {image}):
                log.warning("image was interrupted; bringing it anew", image=image)
                try:
                    await self._runtime.remove_image(found)
                except errors.ContainerFailed as exc:  # a container stands on it: of before
                    log.debug("image not discarded", image=image, error=str(exc))
        await self._transfers.settle(image)

    async def _can_be_had_again(self, others: frozenset[str]) -> bool:
        """
        Tell whether an image that also bears the names *others* may be removed with them.

        One that isn't suspect is somebody's who has all of it on the disk.

        :raises errors.RetryableError: one of them can't be brought now, so all stay suspect.
        """
        if not others <= self._transfers.suspect:
            return False
        try:
            for name in sorted(others):
                await self._bring(name, PullPolicy.ALWAYS)
        except errors.PermanentError as exc:
            log.warning("image not discarded", names=sorted(others), error=str(exc))
            return False
        return True

    async def run(self) -> None:
        """Prune now and then, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._keeping.look):
                    await self._changed.wait()
                    await asyncio.sleep(self._keeping.settle)
            self._changed.clear()
            await self._note_broken_off()
            try:
                await self.prune(self._keeping.budget)
            except errors.FleetError as exc:
                log.debug("images not pruned", reason=exc.reason, error=str(exc))

    async def _note_broken_off(self) -> None:
        """Put on the disk what podman wrote of transfers that were broken off a while ago."""
        while self._broken_off:
            await asyncio.shield(self._transfers.end(self._broken_off.pop()))

    async def prune(self, budget: int) -> bool:
        """Let unused images go until they take *budget* bytes at most; tell whether any went."""
        async with self._lock:
            self._arrived.clear()
            images, wanted = await self._runtime.images(), await self._wanted_ids()
            # What arrived meanwhile isn't among those that were listed.
            arranged = pruning.arrange(self._brought, images, wanted, self._arrived)
            await self._keep(arranged)
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
