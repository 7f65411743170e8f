"""A program's exit status: 0 only when it was asked to end. Each is a process of its own."""

import signal
import subprocess
import sys

import pytest

WITHIN = 45.0

PROGRAM = """
import asyncio, sys
from fleet.supervision import program
from fleet.supervision.failures import Failures
from fleet.supervision.supervisor import Supervisor

async def waits():
    print("up", flush=True)
    await asyncio.Event().wait()

async def returns():
    pass

async def interrupts():
    raise KeyboardInterrupt

async def exits_beside():
    async def library():
        sys.exit(0)
    tasks.append(asyncio.create_task(library()))
    await waits()

async def fails_always():
    await asyncio.sleep(0)
    raise RuntimeError("a bug")

tasks = []

async def serve():
    async with Supervisor(Failures()) as supervisor:
        supervisor.start("part", PART)
        supervisor.start("other", waits)

async def main():
    stop = asyncio.Event()
    program.stop_on_signals(stop)
    return await program.until(stop, serve())

sys.exit(program.run(main()))
"""


def started(part: str) -> "subprocess.Popen[str]":
    """Start a program with *part*."""
    text = PROGRAM.replace("PART", part)
    return subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("part", ["returns", "interrupts", "exits_beside"])
def test_a_part_that_ends_for_good_ends_the_process_with_status_1(part: str):
    with started(part) as process:
        assert process.wait(timeout=WITHIN) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("part", ["waits", "fails_always"])
def test_a_process_that_is_asked_to_end_ends_with_status_0(part: str, number: signal.Signals):
    with started(part) as process:
        assert process.stdout is not None
        assert process.stdout.readline()  # it has begun
        process.send_signal(number)
        assert process.wait(timeout=WITHIN) == 0
