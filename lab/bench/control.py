"""
How fast the control plane is: from the apply of deployments to statuses that are right.

Everything is real but the containers: the runtimes do nothing. Two moments are timed, for making
deployments and for changing them: when every agent has read what is wanted, and when every status
says that all devices run it. Beside that stands the agents' processor time, for each deployment on
each device. The baseline is the bus alone: the same messages, by one client.

With every agent a process of its own, it is as in a fleet. With all of them in the benchmark's own
process, their processor time has the benchmark's own in it.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from fleet.bus import nats
from fleet.bus.nats import NatsBus
from fleet.contracts import kv, messages, scores
from fleet.contracts.names import DeploymentName, DeviceId
from lab.bench import agent_processes, agents, deployments
from lab.bench.agents import Seen
from lab.bench.deployments import Board
from lab.bench.results import Figure
from lab.bench.site import Site, control_plane
from lab.services.broker.stage import ADMIN
from lab.services.cluster.client import FLEET, KubeClient, kube_client

_AT_ONCE = 64  # as many writes as the operator has on their way


PROCESSES, TASKS = "processes", "tasks"

_RUNNING = {PROCESSES: agent_processes.running, TASKS: agents.running}
_STEPS = ("create", "update")
_AIMS = {(20, 3): 0.06, (200, 3): 0.45}
_PROCESSOR_AIM = 0.8
_QUIET_SECONDS = 1.5  # nobody changes a deployment within a second, and what is told is paced


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    devices: int
    deployments: int = 3
    rounds: int = 5
    agents: str = PROCESSES

    def __str__(self) -> str:
        return f"{self.devices} x {self.deployments}"


@dataclass(frozen=True, slots=True)
class _Taken:
    """What one roll-out took, in seconds; *processor* is that of all agents together."""

    seen: float
    right: float
    processor: float


_Round = tuple[_Taken, _Taken]
Processor = Callable[[], float]


async def measure(size: Size, say: Callable[[str], None]) -> list[Figure]:
    """Measure one size, on a control plane of its own."""
    devices = [DeviceId(f"bench-{number:04}") for number in range(1, size.devices + 1)]
    say(f"{size}: starting a control plane")
    with control_plane(devices) as site:
        async with kube_client(site.plane.kubeconfig) as kube:
            return await _measure(size, site, kube, devices, say)


async def _measure(
    size: Size,
    site: Site,
    kube: KubeClient,
    devices: Sequence[DeviceId],
    say: Callable[[str], None],
) -> list[Figure]:
    seen = Seen()
    say(f"{size}: starting {size.devices} agents")
    running = _RUNNING[size.agents](site, devices, seen)
    async with running as processor, Board(kube).watching() as board:
        await _until_registered(kube, size.devices)
        rounds: list[_Round] = []
        with _sparing_the_crowd():
            for number in range(size.rounds):
                say(f"{size}: round {number + 1} of {size.rounds}")
                rounds.append(await _round(size, board, seen, number, processor))
    say(f"{size}: the bus alone")
    site.stop_operator()  # it would answer what nobody asked for
    bare = [await _bare(site, devices, size) for _ in range(size.rounds)]
    return list(_figures(size, bare, rounds))


def _figures(size: Size, bare: Sequence[float], rounds: Sequence[_Round]) -> Iterator[Figure]:
    baseline = f"{size} bus alone"
    yield Figure.of(baseline, bare)
    for step, taken in zip(_STEPS, zip(*rounds, strict=True), strict=True):
        aim = _AIMS.get((size.devices, size.deployments))
        yield Figure.of(f"{size} {step}: seen", (t.seen for t in taken), baseline=baseline)
        right = (t.right for t in taken)
        yield Figure.of(f"{size} {step}: all right", right, baseline=baseline, aim=aim)
        each = (1000 * t.processor / (size.devices * size.deployments) for t in taken)
        yield Figure.of(f"{size} {step}: agent", each, unit="ms", aim=_PROCESSOR_AIM)


async def _round(size: Size, board: Board, seen: Seen, number: int, processor: Processor) -> _Round:
    names = [f"bench-{number}-{each}" for each in range(size.deployments)]

    async def roll_out(version: int) -> _Taken:
        spent = processor()
        images = {name: f"bench/{name}:{version}" for name in names}
        seconds = await _roll_out(size, board, seen, images)
        return _Taken(*seconds, processor() - spent)

    created = await roll_out(1)
    await asyncio.sleep(_QUIET_SECONDS)
    updated = await roll_out(2)
    await board.delete(names)
    return created, updated


async def _roll_out(
    size: Size, board: Board, seen: Seen, images: dict[str, str]
) -> tuple[float, float]:
    """Apply, and return when all agents had read it, and when all statuses were right."""
    wanted = [deployments.manifest(name, image, agents.LABELS) for name, image in images.items()]
    everywhere = asyncio.create_task(_timed(seen.everywhere(list(images.values()), size.devices)))
    begun = time.perf_counter()
    await board.apply(wanted)
    await board.right(list(images), running=size.devices)
    right = time.perf_counter()
    return await everywhere - begun, right - begun


async def _timed(awaited: Coroutine[None, None, None]) -> float:
    await awaited
    return time.perf_counter()


@contextmanager
def _sparing_the_crowd() -> Iterator[None]:
    """
    Have the garbage collector pass over the agents that stand, until the block ends.

    All of them live in this process, where it would look at the whole fleet again and again, in
    the midst of a roll-out. A device has one agent.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _until_registered(kube: KubeClient, devices: int) -> None:
    """Wait until the operator made a `Device` of each agent; the watch tells of each."""
    ready: set[str] = set()
    async for event in kube.watch(f"{FLEET}/devices"):
        conditions = (event["object"].get("status") or {}).get("conditions") or ()
        if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            ready.add(event["object"]["metadata"]["name"])
        if len(ready) == devices:
            return


async def _bare(site: Site, devices: Sequence[DeviceId], size: Size) -> float:
    """Time what the bus alone takes: a desired value and two states per device and deployment."""
    credentials = site.broker.credentials(ADMIN)
    bus = await nats.connect(
        site.broker.url, credentials=credentials, name="bench", pace=nats.ALONE
    )
    async with bus:
        await bus.wait_for_session()
        names = [DeploymentName(f"bare-{number}") for number in range(size.deployments)]
        begun = time.perf_counter()
        slots = asyncio.Semaphore(_AT_ONCE)
        await asyncio.gather(*(_talk(bus, slots, d, n) for n in names for d in devices))
        taken = time.perf_counter() - begun
        await asyncio.gather(*(_forget(bus, slots, d, n) for n in names for d in devices))
    return taken


async def _talk(
    bus: NatsBus, slots: asyncio.Semaphore, device: DeviceId, deployment: DeploymentName
) -> None:
    data = {"services": [{"name": "app", "image": "bench/bare:1"}]}
    revision = scores.revision("PodmanV0", data)
    score = messages.ReconcileScore(type="PodmanV0", data=data, revision=revision)
    async with slots:
        await bus.bucket(messages.DESIRED_STATE).put(
            kv.desired_state_key(device, deployment), score
        )
        for phase in (messages.Phase.PENDING, messages.Phase.RUNNING):
            state = messages.DeploymentState(
                device_id=device,
                deployment=deployment,
                phase=phase,
                revision=revision,
                updated_at=datetime.now(UTC),
            )
            key = kv.device_state_key(device, deployment)
            await bus.bucket(messages.DEVICE_STATE).put(key, state)


async def _forget(
    bus: NatsBus, slots: asyncio.Semaphore, device: DeviceId, deployment: DeploymentName
) -> None:
    async with slots:
        await bus.bucket(messages.DEVICE_STATE).purge(kv.device_state_key(device, deployment))
        await bus.bucket(messages.DESIRED_STATE).purge(kv.desired_state_key(device, deployment))
