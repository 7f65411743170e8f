"""
Many real agents in one process, over runtimes that do nothing.

Each has a connection and rights of its own. What they share is not as on devices: one process and
its event loop.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

from fleet.agent import service
from fleet.bus import nats
from fleet.bus.nats import NatsBus
from fleet.contracts import permissions
from fleet.contracts.names import DeviceId
from lab.bench.noop_runtime import NoopRuntime
from lab.bench.site import Site

LABELS = {"site": "bench"}


class Seen:
    """How many agents asked for each image, and a wait for all of them."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._changed = asyncio.Event()

    def asked(self, image: str) -> None:
        """Note that one more agent read that it is to run *image*."""
        self._counts[image] += 1
        self._changed.set()

    async def everywhere(self, images: Sequence[str], devices: int) -> None:
        """Wait until *devices* agents asked for each of *images*."""
        while any(self._counts[image] < devices for image in images):
            self._changed.clear()
            await self._changed.wait()


@contextlib.asynccontextmanager
async def running(site: Site, devices: Sequence[DeviceId], seen: Seen) -> AsyncIterator[None]:
    """Run an agent per device until the block ends."""
    async with AsyncExitStack() as stack:
        tasks = [
            asyncio.create_task(_serve(await stack.enter_async_context(bus), device, seen))
            for device in devices
            for bus in [await _connect(site, device)]
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _connect(site: Site, device: DeviceId) -> NatsBus:
    bus = await nats.connect(
        site.broker.url,
        credentials=site.broker.device(device),
        name=f"fleet-agent-{device}",
        inbox_prefix=permissions.inbox_prefix(device),
        pace=nats.ALONE,
    )
    await bus.wait_for_session()
    return bus


async def _serve(bus: NatsBus, device: DeviceId, seen: Seen) -> None:
    identity = service.Identity(device, dict(LABELS), "bench")
    await service.run(identity, NoopRuntime(seen.asked), bus)
