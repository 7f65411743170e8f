"""
How long an operator takes that starts where a fleet is in operation already, and what it takes.

While it is down, one device reports failures. Timed are the moments when it says that it is ready,
and when every status tells of them, from the start of its process. The baseline is what Python
takes to import it, in time, processor time and memory. Weighed is what it took by then: the
worst step is the longest that its event loop was busy at a stretch, as it says itself; of a machine
that does other things as well, the processor time of that step says more.
"""

import asyncio
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fleet.contracts.messages import Phase
from lab.bench import crowd as crowds
from lab.bench import processes
from lab.bench.crowd import Crowd
from lab.bench.results import Figure
from lab.services.operator import PART as OPERATOR

_BASELINE = "imports alone"
_STEP = "fleet_loop_step_seconds_max"
_STEP_CPU = "fleet_loop_step_cpu_seconds_max"
_IMPORT = (
    "import resource, fleet.operator.main;"
    "spent = resource.getrusage(resource.RUSAGE_SELF);"
    "print(spent.ru_utime + spent.ru_stime, spent.ru_maxrss / 1024)"
)


@dataclass(frozen=True, slots=True)
class Start:
    """One start: moments in seconds, and what the process took until its statuses were right."""

    ready: float
    right: float
    cpu: float
    memory: float
    step: float
    step_cpu: float


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is, and what to aim at: seconds until ready, MB, seconds of a step."""

    devices: int
    deployments: int
    services: int = 1

    def __str__(self) -> str:
        return f"{self.devices} x {self.deployments}"

    @property
    def aims(self) -> tuple[float | None, float | None, float | None]:
        """What issue 10 aims at, where it speaks of this size."""
        return (
            (20.0, 350.0, 0.1) if (self.devices, self.deployments) == (10_000, 10) else (None,) * 3
        )


async def measure(sizes: list[Size], rounds: int, say: Callable[[str], None]) -> list[Figure]:
    """Measure each size, devices by deployments."""
    imports = [await asyncio.to_thread(_import) for _ in range(rounds)]
    figures = list(_baseline(imports))
    for size in sizes:
        crowd = crowds.gathered(size.devices, size.deployments, say, services=size.services)
        async with crowd as gathered:
            starts = []
            for number in range(1, rounds + 1):
                say(f"{size}: start {number} of {rounds}")
                starts.append(await _start(gathered))
        figures.extend(_figures(size, starts))
    return figures


def _baseline(imports: Sequence[tuple[float, float, float]]) -> Iterator[Figure]:
    seconds, cpu, memory = zip(*imports, strict=True)
    yield Figure.of(_BASELINE, seconds)
    yield Figure.of(f"{_BASELINE}: processor", cpu)
    yield Figure.of(f"{_BASELINE}: memory", memory, unit="MB")


def _figures(size: Size, starts: Sequence[Start]) -> Iterator[Figure]:
    ready, memory, step = size.aims
    yield Figure.of(f"{size} ready", [s.ready for s in starts], baseline=_BASELINE, aim=ready)
    yield Figure.of(f"{size} statuses right", [s.right for s in starts], baseline=_BASELINE)
    yield Figure.of(
        f"{size} processor", [s.cpu for s in starts], baseline=f"{_BASELINE}: processor"
    )
    yield Figure.of(
        f"{size} memory",
        [s.memory for s in starts],
        unit="MB",
        baseline=f"{_BASELINE}: memory",
        aim=memory,
    )
    yield Figure.of(f"{size} worst step", [s.step for s in starts], aim=step)
    yield Figure.of(f"{size} worst step: processor", [s.step_cpu for s in starts], aim=step)


async def _start(crowd: Crowd) -> Start:
    running = len(crowd.devices)
    await asyncio.to_thread(crowd.site.stop_operator)
    await crowd.report(crowd.devices[:1], Phase.FAILED)
    begun = time.perf_counter()
    starting = asyncio.create_task(_timed(crowd))
    await crowd.board.right(crowd.names, running=running - 1, failed=1)
    right = time.perf_counter() - begun
    ready = await starting - begun
    pid = crowd.site.pid(OPERATOR)
    page = await asyncio.to_thread(_page, crowd.site.operator.metrics)
    start = Start(
        ready=ready,
        right=right,
        cpu=processes.cpu_seconds(pid),
        memory=processes.alone(pid),
        step=_metric(page, _STEP),
        step_cpu=_metric(page, _STEP_CPU),
    )
    await crowd.report(crowd.devices[:1], Phase.RUNNING)
    await crowd.board.right(crowd.names, running=running)
    return start


async def _timed(crowd: Crowd) -> float:
    await asyncio.to_thread(crowd.site.start_operator)
    return time.perf_counter()


def _page(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return str(answer.read().decode())


def _metric(page: str, name: str) -> float:
    for line in page.splitlines():
        found, _, value = line.partition(" ")
        if found == name:
            return float(value)
    raise ValueError(f"the operator doesn't tell {name}")


def _import() -> tuple[float, float, float]:
    """Import the operator; return seconds, processor seconds and MB."""
    begun = time.perf_counter()
    ended = subprocess.run([sys.executable, "-c", _IMPORT], check=True, capture_output=True)
    cpu, memory = ended.stdout.split()
    return time.perf_counter() - begun, float(cpu), float(memory)
