"""What a session makes good of its library."""

import asyncio
import contextlib

import pytest

from fleet.bus import session


async def swallowing() -> str:
    """Behave as nats-py's flush does when it is cancelled."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.get_running_loop().create_future()
    return "went on"


async def test_a_cancellation_that_the_library_swallows_is_heeded():
    task = asyncio.create_task(session.heeding_cancellation(swallowing()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_time_limit_that_the_library_swallows_is_heeded():
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await session.heeding_cancellation(swallowing())


async def test_work_that_follows_upon_a_cancellation_is_done():
    """Whoever was cancelled may still have something to put away."""
    done: list[str] = []

    async def put_away() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await session.heeding_cancellation(asyncio.sleep(0))
            done.append("put away")

    task = asyncio.create_task(put_away())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["put away"]
