"""Runs checks side by side, and suites in rounds of lanes. Decides nothing."""

import contextlib
import os
import signal
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
_AFTER_END_SECONDS = 10  # to read the last lines, should a process of the suite hold the pipe
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
    """
    Run the rounds in turn, and the lanes of each side by side; a failure stops nothing.

    SIGINT and SIGTERM end the suites that run, each in its own time: they take down what they
    brought up. None begins after them.

    :raises KeyboardInterrupt: after that.
    """
    with interruptible():
        for lanes in rounds:
            if len(lanes) == 1:
                for suite in lanes[0]:
                    result = run(suite)
                    announce(result)
                    yield result
            else:
                yield from _side_by_side(lanes, announce)


def run(suite: Suite, *, prefix: str = "", processes: "_Processes | None" = None) -> Result:
    """Run one to its end, however it ends; each line of the output shown begins with *prefix*."""
    REPORTS.mkdir(exist_ok=True)
    if suite.report:
        suite.report.unlink(missing_ok=True)
    begin = time.monotonic()
    status, output = _run(suite, prefix, processes)
    return Result(
        name=suite.name,
        status=status,
        seconds=time.monotonic() - begin,
        output=output,
        counts=results.read_counts(suite.report) if suite.report else None,
    )


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Have both signals interrupt, also where SIGINT was ignored: so what is begun obeys, too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    chosen = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: _interrupt}
    before = {number: signal.signal(number, handler) for number, handler in chosen.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def _side_by_side(lanes: tuple[Lane, ...], announce: Announce) -> Iterator[Result]:
    processes = _Processes()
    width = max(len(suite.name) for lane in lanes for suite in lane)

    def follow(lane: Lane) -> tuple[Result, ...]:
        done = []
        for suite in lane:
            if processes.is_over:
                break
            result = run(suite, prefix=f"{suite.name:{width}} | ", processes=processes)
            with _one_line:
                announce(result)
            done.append(result)
        return tuple(done)

    with futures.ThreadPoolExecutor(max_workers=len(lanes)) as pool:
        try:
            for lane in [pool.submit(follow, lane) for lane in lanes]:
                yield from lane.result()
        except BaseException:
            processes.interrupt()
            raise


class _Processes:
    """
    The suites that run side by side, each in a session of its own.

    So Ctrl-C reaches this process alone, and each of them is interrupted once: a second time would
    end pytest before it has taken down its lab.
    """

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self.is_over = False
        """whether none is to begin any more"""

    def run(self, command: tuple[str, ...], out: int) -> int:
        """Run *command* to its end, and return how it ended; its output goes to *out*."""
        with self._lock:
            if self.is_over:
                return -signal.SIGINT
            process = subprocess.Popen(
                command,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._running.add(process)
        try:
            return process.wait()
        finally:
            with self._lock:
                self._running.discard(process)

    def interrupt(self) -> None:
        """Interrupt those that run, and have none begin."""
        with self._lock:
            self.is_over = True
            for process in self._running:
                process.send_signal(signal.SIGINT)


def _run(suite: Suite, prefix: str, processes: _Processes | None) -> tuple[int, str]:
    if not suite.shows_output and processes is None:
        quiet = subprocess.run(
            suite.command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return quiet.returncode, quiet.stdout
    if processes is None:
        return _attended(suite.command), ""
    said: list[str] = []
    read, write = os.pipe()
    keep = None if suite.shows_output else said
    reader = threading.Thread(target=_read, args=(read, prefix, keep), daemon=True)
    reader.start()
    try:
        status = processes.run(suite.command, write)
    finally:
        os.close(write)
        reader.join(_AFTER_END_SECONDS)
    return status, "".join(said)


def _attended(command: tuple[str, ...]) -> int:
    """Run *command* on this terminal. An interrupt reaches it as well, and it ends in its time."""
    process = subprocess.Popen(command)
    interrupt: KeyboardInterrupt | None = None
    while True:
        try:
            status = process.wait()
        except KeyboardInterrupt as exc:
            if exc.args:  # a signal that this process alone was sent
                process.send_signal(signal.SIGINT)
            interrupt = exc
            continue
        if interrupt is not None:
            raise interrupt
        return status


def _read(pipe: int, prefix: str, keep: list[str] | None) -> None:
    with open(pipe, errors="replace") as lines:
        for line in lines:
            if keep is not None:
                keep.append(line)
                continue
            with _one_line:
                sys.stdout.write(f"{prefix}{line.rstrip()}\n")
                sys.stdout.flush()
