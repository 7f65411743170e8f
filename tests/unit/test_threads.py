"""`threads`: so many at once and no more, and each is given back."""

import asyncio
import threading

import pytest

from fleet import threads
from tests.waiting import eventually


class Work:
    """Calls that wait until they are let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_end = threading.Event()

    def __call__(self) -> None:
        self.begun += 1
        self.may_end.wait(10)

    async def has_begun(self, times: int) -> None:
        """Wait until it has begun so often."""

        async def look() -> bool:
            return self.begun == times

        await eventually(look, f"it has begun {times} times")


def fail() -> None:
    """Fail, as a socket does."""
    raise ConnectionResetError


async def test_no_more_than_the_crew_work_at_once_and_the_next_goes_on_when_one_ends():
    crew, work, next_one = threads.Crew(2, "test"), Work(), Work()
    next_one.may_end.set()
    calls = [asyncio.create_task(crew.call(work)) for _ in range(2)]
    await work.has_begun(2)
    waiting = asyncio.create_task(crew.call(next_one))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert next_one.begun == 0
    work.may_end.set()
    await asyncio.gather(*calls, waiting)
    assert next_one.begun == 1


async def test_whoever_fails_gives_its_thread_back():
    crew = threads.Crew(1, "test")
    for _ in range(3):
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(crew.call(fail), 5)


async def test_who_is_cancelled_gives_its_thread_back_once_that_has_ended():
    crew, work, next_one = threads.Crew(1, "test"), Work(), Work()
    next_one.may_end.set()
    call = asyncio.create_task(crew.call(work))
    await work.has_begun(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    waiting = asyncio.create_task(crew.call(next_one))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert next_one.begun == 0
    work.may_end.set()
    await asyncio.wait_for(waiting, 5)


async def test_who_waits_for_a_thread_and_is_cancelled_takes_none():
    crew, work = threads.Crew(1, "test"), Work()
    call = asyncio.create_task(crew.call(work))
    await work.has_begun(1)
    waiting = asyncio.create_task(crew.call(work))
    await asyncio.sleep(0)
    waiting.cancel()
    work.may_end.set()
    await call
    await asyncio.wait_for(crew.call(work), 5)
    assert work.begun == 2


async def test_a_thread_that_cannot_be_had_is_given_back(monkeypatch: pytest.MonkeyPatch):
    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    crew = threads.Crew(1, "test")
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        for _ in range(2):
            with pytest.raises(RuntimeError):
                await asyncio.wait_for(crew.call(fail), 5)
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(crew.call(fail), 5)
