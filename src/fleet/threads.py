"""
Blocking calls, from asyncio.

Each call has a daemon thread of its own: a socket that hangs holds up neither
another call nor the end of the process, as a pool's threads would. A `Crew` is
so many of them and no more, however long they hang.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def call(
    function: Callable[[], T], *, name: str, on_end: Callable[[], object] = lambda: None
) -> T:
    """
    Run *function* in a thread, and return what it returns.

    Cancelled, it leaves the thread alone; nobody waits for it.
    *on_end* is called, in the loop, when the thread has ended.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        _run(function, loop, future)
        post(loop, on_end)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError:  # the process may have no more of them
        on_end()
        raise
    return await future


class Crew:
    """At most *size* threads at once. The thread of a cancelled call counts until it ends."""

    def __init__(self, size: int, name: str) -> None:
        self._free = asyncio.Semaphore(size)
        self._name = name

    async def call(self, function: Callable[[], T]) -> T:
        """Run *function* in a thread as soon as one is free, and return what it returns."""
        await self._free.acquire()
        return await call(function, name=self._name, on_end=self._free.release)


def post(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    """Run *function* in *loop*, unless that has ended."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function)


def _run(
    function: Callable[[], T], loop: asyncio.AbstractEventLoop, future: "asyncio.Future[T]"
) -> None:
    try:
        result = function()
    except BaseException as exc:  # noqa: BLE001 - whatever it is belongs to the caller
        # A future takes no StopIteration: it would never be done.
        error = RuntimeError(f"{exc!r} in a thread") if isinstance(exc, StopIteration) else exc
        post(loop, lambda: None if future.done() else future.set_exception(error))
    else:
        post(loop, lambda: None if future.done() else future.set_result(result))
