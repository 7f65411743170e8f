"""Runs checks side by side, and suites in rounds of lanes. Decides nothing."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures

from lab.proof import results
from lab.proof.results import Result
from lab.proof.suites import REPORTS, Lane, Suite

Announce = Callable[[Result], None]
_AFTER_END_SECONDS = (
    10  # to read what a suite said last, should a process of it hold on to the pipe
)
_one_line = threading.Lock()


def run_together(suites: Iterable[Suite], *, announce: Announce) -> tuple[Result, ...]:
    """Run all, as many at a time as there are cores. Results come in the order of *suites*."""
    with futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        running = [pool.submit(run, suite) for suite in suites]
        for done in futures.as_completed(running):
            announce(done.result())
    return tuple(future.result() for future in running)


def run_in_turn(suites: Iterable[Suite]) -> Iterator[Result]:
    """Run all, one at a time; a failed one doesn't stop the others."""
    return map(run, suites)


def run_in_rounds(rounds: Iterable[tuple[Lane, ...]], *, announce: Announce) -> Iterator[Result]:
    """Run the rounds in turn, and the lanes of each side by side; a failure stops nothing."""
    for lanes in rounds:
        if len(lanes) == 1:
            for suite in lanes[0]:
                result = run(suite)
                announce(result)
                yield result
        else:
            yield from _side_by_side(lanes, announce)


def run(suite: Suite, *, prefix: str = "") -> Result:
    """Run one to its end, however it ends; each line of the output shown begins with *prefix*."""
    REPORTS.mkdir(exist_ok=True)
    if suite.report:
        suite.report.unlink(missing_ok=True)
    begin = time.monotonic()
    status, output = _run(suite, prefix)
    return Result(
        name=suite.name,
        status=status,
        seconds=time.monotonic() - begin,
        output=output,
        counts=results.read_counts(suite.report) if suite.report else None,
    )


def _side_by_side(lanes: tuple[Lane, ...], announce: Announce) -> Iterator[Result]:
    interrupted = threading.Event()
    width = max(len(suite.name) for lane in lanes for suite in lane)

    def follow(lane: Lane) -> tuple[Result, ...]:
        done = []
        for suite in lane:
            if interrupted.is_set():
                break
            result = run(suite, prefix=f"{suite.name:{width}} | ")
            with _one_line:
                announce(result)
            done.append(result)
        return tuple(done)

    with futures.ThreadPoolExecutor(max_workers=len(lanes)) as pool:
        try:
            for lane in [pool.submit(follow, lane) for lane in lanes]:
                yield from lane.result()
        finally:
            interrupted.set()  # no effect after the last; the suites end by the same interrupt


def _run(suite: Suite, prefix: str) -> tuple[int, str]:
    if not suite.shows_output:
        quiet = subprocess.run(
            suite.command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return quiet.returncode, quiet.stdout
    if not prefix:
        return subprocess.run(suite.command, check=False).returncode, ""
    read, write = os.pipe()
    shown = threading.Thread(target=_show, args=(read, prefix), daemon=True)
    shown.start()
    try:
        done = subprocess.run(
            suite.command,
            check=False,
            stdout=write,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    finally:
        os.close(write)
        shown.join(_AFTER_END_SECONDS)
    return done.returncode, ""


def _show(pipe: int, prefix: str) -> None:
    with open(pipe, errors="replace") as lines:
        for line in lines:
            with _one_line:
                sys.stdout.write(f"{prefix}{line.rstrip()}\n")
                sys.stdout.flush()
