"""The supervisor: what fails is run again, what ends for good ends it, nothing goes unnoticed."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from fleet import errors
from fleet.supervision.backoff import Backoff
from fleet.supervision.supervisor import Ended, Supervisor
from tests import virtual_time
from tests.unit.supervision.recording import Remembering, of_every_kind, recorder

STEADY = Backoff(first=1.0, longest=8.0, jitter=0.0)


class Part:
    """A task that raises what it is told to, one after the other, and then runs on for ever."""

    def __init__(self, *raises: BaseException, after: float = 0.0) -> None:
        self._raises = list(raises)
        self._after = after
        self.starts: list[float] = []

    @property
    def runs(self) -> bool:
        """Whether it has raised all of it, and runs again."""
        return not self._raises

    async def run(self) -> None:
        """Raise what is next."""
        self.starts.append(round(asyncio.get_running_loop().time(), 3))
        if self._raises:
            await asyncio.sleep(self._after)
            raise self._raises.pop(0)
        await asyncio.Event().wait()


async def _waits() -> None:
    await asyncio.Event().wait()


async def _ends() -> None:
    await asyncio.sleep(1)


def supervised(
    scenario: Callable[[Supervisor], Coroutine[Any, Any, None]], *, settled: float = 100.0
) -> Remembering:
    """Let *scenario* play in virtual time, and return what was told."""
    failures, watcher = recorder()

    async def play() -> None:
        async with Supervisor(failures, STEADY, random=lambda: 0.5, settled=settled) as supervisor:
            supervisor.start("other", _waits)
            await scenario(supervisor)
            supervisor.stop()

    virtual_time.run(play())
    return watcher


@pytest.mark.parametrize("error", of_every_kind(), ids=lambda e: type(e).__name__)
def test_a_task_that_fails_is_run_again_whatever_it_raised(error: BaseException):
    part, neighbour = Part(error), Part()

    async def scenario(supervisor: Supervisor) -> None:
        supervisor.start("part", part.run)
        supervisor.start("neighbour", neighbour.run)
        await asyncio.sleep(10)

    watcher = supervised(scenario)
    assert part.runs
    assert part.starts == [0.0, 1.0]
    assert neighbour.starts == [0.0]
    assert watcher.streaks("part") == [1]


def test_a_cancellation_that_nobody_asked_for_is_a_failure():
    part = Part(asyncio.CancelledError("a library's"))

    async def scenario(supervisor: Supervisor) -> None:
        supervisor.start("part", part.run)
        await asyncio.sleep(10)

    watcher = supervised(scenario)
    assert part.starts == [0.0, 1.0]
    assert [f.reason for f in watcher.failures] == ["CancelledError"]


def test_a_task_that_a_stranger_cancels_is_run_again():
    """As kopf does, which cancels whatever tasks are younger than itself."""
    part = Part()

    async def scenario(supervisor: Supervisor) -> None:
        handle = supervisor.start("part", part.run)
        await asyncio.sleep(5)
        assert handle.task is not None
        handle.task.cancel()
        await asyncio.sleep(0.5)  # it waits for its turn
        handle.task.cancel()
        await asyncio.sleep(5)

    watcher = supervised(scenario)
    assert part.starts == [0.0, 5.5]
    assert watcher.streaks("part") == [1]


def test_waits_grow_up_to_the_longest():
    part = Part(*(ValueError() for _ in range(6)))

    async def scenario(supervisor: Supervisor) -> None:
        supervisor.start("part", part.run)
        await asyncio.sleep(60)

    watcher = supervised(scenario)
    assert part.starts == [0, 1, 3, 7, 15, 23, 31]
    assert watcher.streaks("part") == [1, 2, 3, 4, 5, 6]


def test_a_task_that_ran_for_long_begins_with_the_shortest_wait():
    part = Part(ValueError(), ValueError(), after=200.0)

    async def scenario(supervisor: Supervisor) -> None:
        supervisor.start("part", part.run)
        await asyncio.sleep(1000)

    watcher = supervised(scenario)
    assert part.starts == [0, 201, 402]
    assert watcher.streaks("part") == [1, 1]


def test_a_failure_is_over_once_its_task_has_run_for_a_while():
    async def scenario(supervisor: Supervisor) -> None:
        supervisor.start("part", Part(ValueError()).run)
        await asyncio.sleep(50)
        assert supervisor.failures.standing()
        await asyncio.sleep(100)
        assert not supervisor.failures.standing()

    assert supervised(scenario).recovered_parts == [("part", "")]


@pytest.mark.parametrize(
    ("error", "ends_by"),
    [(KeyboardInterrupt(), ()), (errors.InvalidConfig("wrong"), (errors.InvalidConfig,))],
)
def test_what_ends_a_task_for_good_ends_the_supervisor(
    error: BaseException, ends_by: tuple[type[Exception], ...]
):
    failures, _ = recorder()
    ended: list[str] = []

    async def neighbour() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("neighbour")

    async def play() -> None:
        async with Supervisor(failures, STEADY) as supervisor:
            supervisor.start("neighbour", neighbour)
            supervisor.start("part", Part(error, after=1.0).run, ends_by=ends_by)

    with pytest.raises(Ended, match=r"^part: ") as caught:
        virtual_time.run(play())
    assert caught.value.part == "part"
    assert caught.value.__cause__ is not None
    assert ended == ["neighbour"]


def test_a_task_that_returns_though_it_was_to_run_for_ever_ends_the_supervisor():
    failures, _ = recorder()

    async def play() -> None:
        async with Supervisor(failures, STEADY) as supervisor:
            supervisor.start("other", _waits)
            supervisor.start("part", _ends)
            await asyncio.Event().wait()  # also when whoever started it isn't done yet

    with pytest.raises(Ended, match="ended by itself"):
        virtual_time.run(play())


def test_a_task_that_may_return_ends_nothing():
    async def scenario(supervisor: Supervisor) -> None:
        handle = supervisor.start("part", _ends, may_end=True)
        await handle.ended()
        await asyncio.sleep(10)

    assert supervised(scenario).failures == []


def test_whoever_started_a_task_may_end_it():
    part = Part(ValueError())

    async def scenario(supervisor: Supervisor) -> None:
        handle = supervisor.start("part", part.run)
        await asyncio.sleep(5)
        handle.cancel()
        await handle.ended()
        await asyncio.sleep(50)

    assert supervised(scenario).streaks("part") == [1]
    assert part.starts == [0.0, 1.0]


@pytest.mark.parametrize("makes", [None, ValueError("instead")], ids=["a result", "another error"])
def test_a_task_that_swallows_its_cancellation_still_ends(makes: Exception | None):
    failures, watcher = recorder()

    async def deaf() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if makes:
                raise makes from None

    async def supervise() -> None:
        async with Supervisor(failures, STEADY) as supervisor:
            supervisor.start("deaf", deaf)

    async def play() -> None:
        task = asyncio.create_task(supervise())
        await asyncio.sleep(1)
        task.cancel()
        async with asyncio.timeout(10):
            await asyncio.wait({task})
        assert task.cancelled()

    virtual_time.run(play())
    assert watcher.failures == []


def test_an_exception_of_the_block_itself_ends_all_and_is_raised_as_it_is():
    failures, _ = recorder()

    async def play() -> None:
        async with Supervisor(failures, STEADY) as supervisor:
            supervisor.start("other", _waits)
            await asyncio.sleep(1)
            raise LookupError

    with pytest.raises(LookupError):
        virtual_time.run(play())


def test_a_timeout_around_a_supervisor_ends_it():
    failures, watcher = recorder()

    async def play() -> None:
        async with asyncio.timeout(5), Supervisor(failures, STEADY) as supervisor:
            supervisor.start("other", _waits)

    with pytest.raises(TimeoutError):
        virtual_time.run(play())
    assert watcher.failures == []
