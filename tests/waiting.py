"""Waiting for what happens elsewhere, by a name that says what was missing when it doesn't."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
EVERY_SECONDS = 0.02


async def eventually(
    look: Callable[[], Awaitable[T | None]], what: str, *, within: float = 15.0
) -> T:
    """Wait until *look* finds something true, and return that."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while True:
        found = await look()
        if found:
            return found
        if loop.time() > end:
            raise AssertionError(f"not within {within} s: {what}; last seen: {found!r}")
        await asyncio.sleep(EVERY_SECONDS)
