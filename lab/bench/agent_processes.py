"""
Many real agents, each a process of its own, as in a fleet; over runtimes that do nothing.

One process (`main`) imports what an agent needs and forks the agents, so that hundreds start within
seconds. They share its standard streams. It is told of them in one line of JSON; an agent says each
image that it asks for in a line, and logs to standard error as the program does. All end when the
standard input does, so also with a benchmark that is killed.
"""

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from subprocess import PIPE

from fleet.agent import main as agent
from fleet.agent import settings
from fleet.contracts.names import DeviceId
from lab.bench import agents, processes
from lab.bench.agents import Seen
from lab.bench.site import Site
from lab.errors import PartDied
from lab.host import processes as host_processes

_STARTED = "started"
_CONNECTS_WITHIN = 120  # hundreds do at once


@contextlib.asynccontextmanager
async def running(
    site: Site, devices: Sequence[DeviceId], seen: Seen
) -> AsyncIterator[Callable[[], float]]:
    """
    Run an agent per device until the block ends.

    What is yielded reads the seconds of processor time that all of them have spent together.
    """
    log = site.host.log("agents")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, stdin=PIPE, stdout=PIPE, stderr=stderr
        )
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("it was started with pipes")
    crowd = _Agents(process.stdout, len(devices), seen)
    try:
        async with asyncio.TaskGroup() as group:
            ended = group.create_task(crowd.until_ended(log))
            wanted = {str(device): str(site.broker.device(device)) for device in devices}
            process.stdin.write(json.dumps([site.broker.url, wanted]).encode() + b"\n")
            await process.stdin.drain()
            await crowd.started.wait()
            yield lambda: sum(map(processes.cpu_seconds, crowd.pids))
            ended.cancel()
    except BaseExceptionGroup as group_of_errors:
        raise group_of_errors.exceptions[0] from None
    finally:
        process.stdin.close()
        await process.wait()


class _Agents:
    """What agents say of themselves, a line each. *seen* is told of the images asked for."""

    def __init__(self, lines: asyncio.StreamReader, count: int, seen: Seen) -> None:
        self.pids: list[int] = []
        self.started = asyncio.Event()
        self._lines = lines
        self._count = count
        self._seen = seen

    async def until_ended(self, log: Path) -> None:
        """
        Listen for as long as they live.

        :raises PartDied: they have ended, with the last words of their *log*.
        """
        async for line in self._lines:
            word, _, rest = line.decode().strip().partition(" ")
            if word != _STARTED:
                self._seen.asked(word)
                continue
            self.pids.append(int(rest))
            if len(self.pids) == self._count:
                self.started.set()
        words = f"agents of the benchmark ended; their last words: {host_processes.tail(log)}"
        raise PartDied(words, element="agents", log=log)


def main() -> None:
    """
    Fork the agents that the first line asks for; return when all have ended.

    One that fails ends all: a fleet with a device that doesn't answer measures nothing.
    """
    url, wanted = json.loads(_first_line())
    agent.set_up_logging(settings.Log())
    gc.collect()
    gc.freeze()
    children = [
        _fork(url, DeviceId(device), Path(credentials)) for device, credentials in wanted.items()
    ]
    for _ in children:
        ended, status = os.wait()
        if status:
            for child in set(children) - {ended}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            sys.exit(1)


def _first_line() -> bytes:
    """Read no further than the first line: the agents wait for the end of the rest."""
    line = b""
    while not line.endswith(b"\n"):
        read = os.read(0, 1)
        if not read:
            raise EOFError("nobody said which agents to run")
        line += read
    return line


def _fork(url: str, device: DeviceId, credentials: Path) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        asyncio.run(_live(url, device, credentials))
        status = 0
    except BaseException:
        traceback.print_exc()
    os._exit(status)


async def _live(url: str, device: DeviceId, credentials: Path) -> None:
    """Be an agent until the standard input ends."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, ended.set)
    async with asyncio.timeout(_CONNECTS_WITHIN):
        connected = await agents.connect(url, credentials, device)
    async with connected as bus:
        _say(f"{_STARTED} {os.getpid()}")
        serving = asyncio.create_task(agents.serve(bus, device, _say))
        waiting = asyncio.create_task(ended.wait())
        await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    main()
