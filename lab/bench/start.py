"""
How long an operator takes that starts where a fleet is in operation already.

While it is down, one device reports failures. Timed are the moments when it says that it is ready,
and when every status tells of them, from the start of its process. The baseline is what Python
takes to import it.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable

from fleet.contracts.messages import Phase
from lab.bench import crowd as crowds
from lab.bench.crowd import Crowd
from lab.bench.results import Figure

_BASELINE = "imports alone"


async def measure(
    sizes: list[tuple[int, int]], rounds: int, say: Callable[[str], None]
) -> list[Figure]:
    """Measure each size, devices by deployments."""
    figures = [Figure.of(_BASELINE, [await asyncio.to_thread(_import) for _ in range(rounds)])]
    for devices, deployments in sizes:
        async with crowds.gathered(devices, deployments, say) as crowd:
            timed = []
            for number in range(1, rounds + 1):
                say(f"{devices} x {deployments}: start {number} of {rounds}")
                timed.append(await _start(crowd))
        ready, right = zip(*timed, strict=True)
        size = f"{devices} x {deployments}"
        figures.append(Figure.of(f"{size} ready", ready, baseline=_BASELINE))
        figures.append(Figure.of(f"{size} statuses right", right, baseline=_BASELINE))
    return figures


async def _start(crowd: Crowd) -> tuple[float, float]:
    running = len(crowd.devices)
    await asyncio.to_thread(crowd.site.stop_operator)
    await crowd.report(crowd.devices[:1], Phase.FAILED)
    begun = time.perf_counter()
    starting = asyncio.create_task(_timed(crowd))
    await crowd.board.right(crowd.names, running=running - 1, failed=1)
    right = time.perf_counter() - begun
    ready = await starting - begun
    await crowd.report(crowd.devices[:1], Phase.RUNNING)
    await crowd.board.right(crowd.names, running=running)
    return ready, right


async def _timed(crowd: Crowd) -> float:
    await asyncio.to_thread(crowd.site.start_operator)
    return time.perf_counter()


def _import() -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import fleet.operator.main"], check=True)
    return time.perf_counter() - begun
