"""
A program that serves until it is asked to end, and its exit status.

0 says that it was asked to. Whatever else ends it is a failure, and the service manager starts it
anew: a part that ended for good, an exception, a library that called `sys.exit(0)`.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from fleet.supervision.supervisor import Ended

log = structlog.get_logger()

FAILED: Final = 1


def run(
    program: Coroutine[Any, Any, int],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> int:
    """Run *program* in an event loop, and return its exit status, which no library decides."""
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(program)
    except SystemExit as exc:
        log.critical("a library ended the program", status=exc.code, exc_info=exc)
        return FAILED


async def until(stop: asyncio.Event, serving: Coroutine[Any, Any, None]) -> int:
    """Serve until *stop*, and return the exit status."""
    task = asyncio.create_task(serving, name="serving")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        task.cancel()
        await asyncio.wait({task})
    if stop.is_set():
        return 0
    _say_why(task)
    return FAILED


def stop_on_signals(stop: asyncio.Event) -> None:
    """Have SIGTERM and SIGINT set *stop*."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


def _say_why(task: "asyncio.Task[None]") -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, Ended):
        raise error
    log.critical("program ended by itself", error=str(error or ""), exc_info=error)
