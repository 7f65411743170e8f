"""What the loop did between two waits is one step, however many callbacks it was."""

import asyncio

import pytest

from fleet.operator.adapters.loop_steps import Steps, StepSelector


class Clock:
    """A clock that work moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def work(self, seconds: float) -> None:
        """Be busy for so long."""
        self.now += seconds

    def read(self) -> float:
        """Tell the time."""
        return self.now


def test_the_longest_step_is_all_that_ran_without_a_wait():
    steps, clock = Steps(), Clock()
    loop = asyncio.SelectorEventLoop(StepSelector(steps, clock.read, clock.read))

    async def busy() -> None:
        clock.work(0.02)
        await asyncio.sleep(0)
        loop.call_soon(clock.work, 0.09)
        loop.call_soon(clock.work, 0.04)
        await asyncio.sleep(0)
        clock.work(0.01)
        await asyncio.sleep(0)
        clock.work(0.03)
        await asyncio.sleep(0)

    try:
        loop.run_until_complete(busy())
    finally:
        loop.close()
    assert steps.worst == pytest.approx(0.14)
    assert steps.worst_cpu == pytest.approx(0.14)
    assert steps.long == 1
