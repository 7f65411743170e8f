"""
A fleet too large for agents: devices that only say what agents say, and go on being heard.

They fill the API server and the buckets as a fleet in operation does, for an operator to find.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from fleet.bus import nats
from fleet.contracts import scores
from fleet.contracts.messages import Phase, ServiceState, StateError
from lab.bench import deployments
from lab.bench.deployments import Board
from lab.bench.simulated_device import SimulatedDevice
from lab.bench.site import Site, control_plane
from lab.services.broker.stage import ADMIN
from lab.services.cluster.client import kube_client

LABELS = {"site": "bench"}
_IMAGE = "bench/app:1"
_DIGEST = f"sha256:{'ab' * 32}"
_AT_ONCE = 64
_BEAT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Crowd:
    """Devices and deployments, all of which run, on a control plane of its own."""

    site: Site
    board: Board
    devices: tuple[SimulatedDevice, ...]
    names: tuple[str, ...]
    services: int = 1

    async def report(self, devices: Iterable[SimulatedDevice], phase: Phase) -> None:
        """Have each of *devices* say of every deployment that it is in *phase*."""
        data = deployments.score(_IMAGE, self.services)["data"]
        services = tuple(
            ServiceState(name=name, state="running", image=_DIGEST)
            for name in deployments.service_names(self.services)
        )
        revision = scores.revision("PodmanV0", data)
        error = StateError(reason="Bench") if phase is Phase.FAILED else None
        await together(
            lambda d=device, n=name: d.report(n, phase, revision, error, services=services)  # type: ignore[misc]
            for device in devices
            for name in self.names
        )


@contextlib.asynccontextmanager
async def gathered(
    devices: int, count: int, say: Callable[[str], None], *, services: int = 1
) -> AsyncIterator[Crowd]:
    """Have *devices* that run *count* deployments, as the statuses say, until the block ends."""
    say(f"{devices} x {count}: starting a control plane")
    async with contextlib.AsyncExitStack() as stack:
        site = stack.enter_context(control_plane(()))
        kube = await stack.enter_async_context(kube_client(site.plane.kubeconfig))
        board = await stack.enter_async_context(Board(kube).watching())
        credentials = site.broker.credentials(ADMIN)
        bus = await nats.connect(
            site.broker.url, credentials=credentials, name="bench", pace=nats.ALONE
        )
        await stack.enter_async_context(bus)
        await bus.wait_for_session()
        crowd = Crowd(
            site,
            board,
            tuple(SimulatedDevice(bus, f"bench-{number:05}") for number in range(devices)),
            tuple(f"bench-{number}" for number in range(count)),
            services,
        )
        await stack.enter_async_context(_heard(crowd.devices))
        say(f"{devices} x {count}: filling it")
        await together(lambda d=device: d.register(LABELS) for device in crowd.devices)  # type: ignore[misc]
        await board.apply(
            deployments.manifest(name, _IMAGE, LABELS, services) for name in crowd.names
        )
        await crowd.report(crowd.devices, Phase.RUNNING)
        await board.right(crowd.names, running=devices)
        yield crowd


async def together(calls: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Make all *calls*, a few at a time."""
    waiting = iter(calls)

    async def work(calls: Iterator[Callable[[], Awaitable[None]]]) -> None:
        for call in calls:
            await call()

    await asyncio.gather(*(work(waiting) for _ in range(_AT_ONCE)))


@contextlib.asynccontextmanager
async def _heard(devices: Sequence[SimulatedDevice]) -> AsyncIterator[None]:
    """Keep *devices* heard, until the block ends."""
    task = asyncio.create_task(_beat_in_turn(devices))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _beat_in_turn(devices: Sequence[SimulatedDevice]) -> None:
    while True:
        for device in devices:
            await asyncio.sleep(_BEAT_SECONDS / len(devices))
            await device.beat()
