"""Waits within the event loop that have a name, a budget, and say what they last saw."""

import asyncio
from collections.abc import Awaitable, Callable

from lab.errors import WaitTimedOut

_LOOK_EVERY = 0.05


async def until(what: str, missing: Callable[[], str], *, within: float) -> None:
    """
    Look until nothing is *missing*.

    :raises WaitTimedOut: something still is.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while last := missing():
        if loop.time() > end:
            raise _late(what, within, last)
        await asyncio.sleep(_LOOK_EVERY)


async def finish(
    what: str, work: Awaitable[object], *, within: float, saw: Callable[[], str]
) -> None:
    """
    Wait for *work*; where it takes too long, *saw* says how things stand.

    :raises WaitTimedOut: it is cancelled then.
    """
    try:
        async with asyncio.timeout(within):
            await work
    except TimeoutError as exc:
        raise _late(what, within, saw()) from exc


def _late(what: str, within: float, last: str) -> WaitTimedOut:
    return WaitTimedOut(f"{what}: not within {within:g} s; last seen: {last}", element=what)
