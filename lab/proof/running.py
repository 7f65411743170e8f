"""Runs checks side by side and suites one after the other. Decides nothing."""

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures

from lab.proof import results
from lab.proof.results import Result
from lab.proof.suites import REPORTS, Suite


def run_together(
    suites: Iterable[Suite], *, announce: Callable[[Result], None]
) -> tuple[Result, ...]:
    """Run all, as many at a time as there are cores. Results come in the order of *suites*."""
    with futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        running = [pool.submit(run, suite) for suite in suites]
        for done in futures.as_completed(running):
            announce(done.result())
    return tuple(future.result() for future in running)


def run_in_turn(suites: Iterable[Suite]) -> Iterator[Result]:
    """Run all, one at a time; a failed one doesn't stop the others."""
    return map(run, suites)


def run(suite: Suite) -> Result:
    """Run one to its end, however it ends."""
    REPORTS.mkdir(exist_ok=True)
    if suite.report:
        suite.report.unlink(missing_ok=True)
    begin = time.monotonic()
    status, output = _run(suite)
    return Result(
        name=suite.name,
        status=status,
        seconds=time.monotonic() - begin,
        output=output,
        counts=results.read_counts(suite.report) if suite.report else None,
    )


def _run(suite: Suite) -> tuple[int, str]:
    if suite.shows_output:
        return subprocess.run(suite.command, check=False).returncode, ""
    done = subprocess.run(
        suite.command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout
