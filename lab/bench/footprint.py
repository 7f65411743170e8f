"""
What agents and operators weigh while nothing happens: memory, and a minute's processor time.

PSS shares what several processes map; "alone" counts it in full, as where one agent is the only
Python of its device. The baseline is a Python that only sleeps.
"""

import asyncio
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from lab.bench import crowd as crowds
from lab.bench import processes
from lab.bench.results import Figure
from lab.devices import agent_environment
from lab.errors import NothingThere
from lab.lifecycle import status as statuses
from lab.services.operator import PART as OPERATOR

_BASELINE = "Python alone"
_AGENT_MB = 30.0
_AGENT_CPU = 0.3


async def measure(
    lab: str, crowd: tuple[int, int], seconds: float, say: Callable[[str], None]
) -> list[Figure]:
    """Measure the processes of *lab*, which is up, and an operator of a crowd."""
    status = statuses.status(lab)
    agents = [device["pid"] for device in status["devices"] if device["pid"]]
    if not agents or not status["operator"]["pid"]:
        raise NothingThere(f"lab {lab} has no agents that run", element=lab, hint="invoke lab.up")
    with _sleeping(str(agent_environment.agent().with_name("python"))) as pid:
        baseline = Figure.of(f"{_BASELINE}: memory", [processes.alone(pid)], unit="MB")
    say(f"the lab's processes, idle for {seconds:g} s")
    figures = [baseline, *await _weigh(f"agent, 1 of {len(agents)}", agents, seconds, aims=True)]
    title = f"operator, {len(agents)} devices"
    figures += await _weigh(title, [status["operator"]["pid"]], seconds)
    devices, deployments = crowd
    async with crowds.gathered(devices, deployments, say) as gathered:
        say(f"its operator, idle for {seconds:g} s")
        title = f"operator, {devices} x {deployments}"
        figures += await _weigh(title, [gathered.site.pid(OPERATOR)], seconds)
    return figures


async def _weigh(
    title: str, pids: Sequence[int], seconds: float, *, aims: bool = False
) -> list[Figure]:
    before = [processes.cpu_seconds(pid) for pid in pids]
    await asyncio.sleep(seconds)
    spent = [processes.cpu_seconds(pid) - b for pid, b in zip(pids, before, strict=True)]
    baseline = f"{_BASELINE}: memory"
    return [
        Figure.of(
            f"{title}: PSS",
            map(processes.pss, pids),
            unit="MB",
            baseline=baseline,
            aim=_AGENT_MB if aims else None,
        ),
        Figure.of(f"{title}: alone", map(processes.alone, pids), unit="MB", baseline=baseline),
        Figure.of(
            f"{title}: processor",
            (100 * cpu / seconds for cpu in spent),
            unit="%",
            aim=_AGENT_CPU if aims else None,
        ),
    ]


@contextmanager
def _sleeping(python: str) -> Iterator[int]:
    """Run a Python that does nothing, until the block ends."""
    command = [python, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdout:  # it says when it sleeps
            process.stdout.readline()
        yield process.pid
        process.terminate()
