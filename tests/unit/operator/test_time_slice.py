"""Time slices: whoever works long lets others have their turn, and whoever waits anyway needn't."""

import asyncio
from itertools import count

from fleet.operator.time_slice import TimeSlice
from fleet.operator.writers.work_queue import Pace, WorkQueue
from tests.unit.operator.fakes import FakeCounter


class Turns:
    """A clock that each look moves on by a millisecond, and another task that counts its turns."""

    def __init__(self) -> None:
        self._ticks = count()
        self.others = 0

    def now(self) -> float:
        """Tell the time."""
        return next(self._ticks) / 1000

    async def other(self) -> None:
        """Take every turn that there is."""
        while True:
            await asyncio.sleep(0)
            self.others += 1


async def test_a_queue_whose_work_never_waits_starves_nobody():
    turns, done, last = Turns(), 0, asyncio.Event()

    async def work(key: int) -> None:
        nonlocal done
        done += 1
        if key == 9_999:
            last.set()

    time_slice = TimeSlice(0.01, turns.now)
    queue = WorkQueue("test", work, Pace(workers=64), FakeCounter(), time_slice=time_slice)
    queue.add(range(10_000))
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(queue.run()), tasks.create_task(turns.other())]
        await last.wait()
        for task in running:
            task.cancel()
    assert done >= 10_000
    # A slice is ten looks at the clock; each other worker looks once more before its turn.
    assert turns.others >= 10_000 / (10 + 64 + 1)


async def test_a_loop_over_many_things_gives_way_each_slice():
    turns = Turns()
    other = asyncio.create_task(turns.other())
    seen = [each async for each in TimeSlice(0.01, turns.now).over(range(1_000))]
    other.cancel()
    assert seen == list(range(1_000))
    assert 1_000 / 12 <= turns.others <= 1_000 / 5


async def test_short_work_does_not_give_way():
    turns = Turns()
    other = asyncio.create_task(turns.other())
    time_slice = TimeSlice(10.0, turns.now)
    await time_slice.give_way()  # begins a slice
    before = turns.others
    for _ in range(100):
        await time_slice.give_way()
    other.cancel()
    assert turns.others == before
