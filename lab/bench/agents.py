"""
Many real agents in one process, over runtimes that do nothing.

Each has a connection and rights of its own. What they share is not as on devices: one process and
its event loop.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

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
async def running(
    site: Site, devices: Sequence[DeviceId], seen: Seen
) -> AsyncIterator[Callable[[], float]]:
    """
    Run an agent per device until the block ends.

    What is yielded reads the seconds of processor time that this process has spent.
    """
    async with AsyncExitStack() as stack:
        tasks = [
            asyncio.create_task(serve(await stack.enter_async_context(bus), device, seen.asked))
            for device in devices
            for bus in [await connect(site.broker.url, site.broker.device(device), device)]
        ]
        try:
            yield time.process_time
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def connect(url: str, credentials: Path, device: DeviceId) -> NatsBus:
    """Connect as the agent of *device* does."""
    bus = await nats.connect(
        url,
        credentials=credentials,
        name=f"fleet-agent-{device}",
        inbox_prefix=permissions.inbox_prefix(device),
        pace=nats.ALONE,
    )
    await bus.wait_for_session()
    return bus


async def serve(bus: NatsBus, device: DeviceId, asked: Callable[[str], None]) -> None:
    """Be the agent of *device*, until cancelled; *asked* hears of each image asked for."""
    identity = service.Identity(device, dict(LABELS), "bench")
    await service.run(identity, NoopRuntime(asked), bus)
