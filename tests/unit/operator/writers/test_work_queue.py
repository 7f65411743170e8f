"""The work queue: one worker per key, no change lost, failures retried."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import errors
from fleet.operator.writers.work_queue import Pace, WorkQueue
from tests import virtual_time
from tests.unit.operator.fakes import FakeCounter
from tests.unit.supervision.recording import of_every_kind, recorder

QUICK = Pace(workers=4, first_retry=0.001, longest_retry=0.01)


@asynccontextmanager
async def working(
    work: Callable[[str], Awaitable[None]], pace: Pace = QUICK
) -> AsyncIterator[WorkQueue[str]]:
    """Run a queue while the block runs."""
    queue = WorkQueue("test", work, pace, FakeCounter())
    task = asyncio.create_task(queue.run())
    yield queue
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_key_that_waits_is_worked_on_once():
    done: Counter[str] = Counter()
    last = asyncio.Event()

    async def work(key: str) -> None:
        done[key] += 1
        if key == "last":
            last.set()

    queue = WorkQueue("test", work, Pace(workers=1), FakeCounter())
    for _ in range(5):
        queue.add(["a", "b"])
    queue.add(["last"])
    assert len(queue) == 3
    task = asyncio.create_task(queue.run())
    await last.wait()
    task.cancel()
    assert done == {"a": 1, "b": 1, "last": 1}


async def test_a_key_added_while_it_is_worked_on_comes_again_and_never_twice_at_once():
    started, go_on, again = asyncio.Event(), asyncio.Event(), asyncio.Event()
    passes = running = 0

    async def work(key: str) -> None:
        nonlocal passes, running
        passes, running = passes + 1, running + 1
        assert running == 1
        if passes == 1:
            started.set()
            await go_on.wait()
        else:
            again.set()
        running -= 1

    async with working(work) as queue:
        queue.add(["a"])
        await started.wait()
        queue.add(["a"])
        queue.add(["a"])
        go_on.set()
        await again.wait()
    assert passes == 2


async def test_keys_do_not_wait_for_each_other():
    stuck, other = asyncio.Event(), asyncio.Event()

    async def work(key: str) -> None:
        if key == "stuck":
            await stuck.wait()
        other.set()

    async with working(work) as queue:
        queue.add(["stuck", "other"])
        await other.wait()


async def test_what_may_succeed_later_is_tried_again():
    passes = 0
    succeeded = asyncio.Event()

    async def work(key: str) -> None:
        nonlocal passes
        passes += 1
        if passes < 4:
            raise errors.BusUnavailable("not now")
        succeeded.set()

    async with working(work) as queue:
        queue.add(["a"])
        await succeeded.wait()
    assert passes == 4


async def test_what_fails_for_good_is_not_tried_again_until_it_is_added():
    passes: Counter[str] = Counter()
    twice = asyncio.Event()

    async def work(key: str) -> None:
        passes[key] += 1
        if key == "bad":
            raise errors.ClusterRefused("never")
        if passes[key] == 2:
            twice.set()
        raise errors.BusUnavailable("again")

    async with working(work) as queue:
        queue.add(["bad", "good"])
        await twice.wait()
    assert passes["bad"] == 1


async def test_passes_over_one_key_keep_their_distance():
    times: list[float] = []
    three = asyncio.Event()
    pace = Pace(workers=2, spacing=0.05)

    async def work(key: str) -> None:
        times.append(asyncio.get_running_loop().time())
        queue.add([key])
        if len(times) == 3:
            three.set()

    async with working(work, pace) as queue:
        queue.add(["a"])
        await three.wait()
    assert all(after - before >= 0.045 for before, after in itertools.pairwise(times))


class Paced:
    """A queue in virtual time whose only key comes again when asked to, with news or without."""

    def __init__(self, pace: Pace, error: errors.FleetError | None = None) -> None:
        self.times: list[float] = []
        self.news = False
        self._error = error
        self.queue = WorkQueue("test", self._work, pace, FakeCounter(), lambda _: self.news)

    async def _work(self, _: str) -> None:
        self.times.append(round(asyncio.get_running_loop().time(), 3))
        if self._error:
            raise self._error

    def play(self, *changes: tuple[float, bool]) -> list[float]:
        """Let time pass before each change, with news or without; return when it was worked on."""

        async def stage() -> None:
            task = asyncio.create_task(self.queue.run())
            for pause, self.news in changes:
                await asyncio.sleep(pause)
                self.queue.add(["a"])
            await asyncio.sleep(30)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        virtual_time.run(stage())
        return self.times


SPACED = Pace(workers=2, spacing=1.0, burst=2)


def test_what_is_no_news_waits_for_its_time():
    assert Paced(SPACED).play((0, False), (0.25, False), (0.25, False)) == [0.0, 1.0]


def test_news_cuts_the_rest_short():
    assert Paced(SPACED).play((0, False), (0.25, True)) == [0.0, 0.25]
    assert Paced(SPACED).play((0, False), (0.25, False), (0.25, True)) == [0.0, 0.5]


def test_news_without_end_keeps_to_the_pace_after_a_few():
    news = [(0.1, True)] * 100
    times = Paced(SPACED).play(*news)
    assert times[:3] == [0.1, 0.2, 0.3]
    assert len(times) <= 2 + 10 + 1
    assert times[-1] >= 10.0


def test_news_does_not_hurry_what_failed():
    pace = Pace(workers=2, spacing=1.0, burst=2, first_retry=5.0, longest_retry=5.0)
    failing = Paced(pace, errors.ClusterUnavailable("down"))
    assert failing.play((0, False), (0.25, True), (0.25, True))[:2] == [0.0, 5.0]


@pytest.mark.parametrize("error", of_every_kind(), ids=lambda e: type(e).__name__)
async def test_a_bug_in_the_work_for_one_key_is_recorded_and_keeps_no_other(error: BaseException):
    failures, watcher = recorder()
    counter = FakeCounter()
    done = asyncio.Event()

    async def work(key: str) -> None:
        if key == "bad":
            raise error
        done.set()

    queue = WorkQueue("test", work, Pace(workers=1), counter, failures=failures)
    queue.add(["bad", "good"])
    task = asyncio.create_task(queue.run())
    await done.wait()
    task.cancel()
    assert [(f.part, f.key) for f in watcher.failures] == [("test", "bad")]
    assert counter.counts["failed test InternalError"] == 1


def test_a_queue_is_busy_while_somebody_waits_and_not_for_what_keeps_failing():
    async def work(key: str) -> None:
        if key == "broken":
            raise errors.ClusterUnavailable("no answer")

    async def scenario() -> None:
        pace = Pace(workers=1, spacing=1.0, first_retry=100.0, longest_retry=100.0)
        queue = WorkQueue("test", work, pace, FakeCounter())
        assert not queue.is_busy
        queue.add(["broken", "well"])
        assert queue.is_busy
        task = asyncio.create_task(queue.run())
        await asyncio.sleep(0.5)
        assert len(queue) == 1
        assert not queue.is_busy
        queue.add(["well"])  # it rests
        assert queue.is_busy
        task.cancel()

    virtual_time.run(scenario())


def test_a_bug_is_met_again_with_growing_rests_of_a_minute_at_most_and_once_gone_is_over():
    failures, watcher = recorder()
    times: list[float] = []

    async def work(_: str) -> None:
        times.append(round(asyncio.get_running_loop().time(), 1))
        if len(times) < 12:
            raise KeyError

    async def scenario() -> None:
        pace = Pace(workers=1, first_retry=1.0, longest_retry=5.0)
        queue = WorkQueue("test", work, pace, FakeCounter(), failures=failures)
        queue.add(["a"])
        task = asyncio.create_task(queue.run())
        await asyncio.sleep(600)
        task.cancel()

    virtual_time.run(scenario())
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]
    assert watcher.streaks("test") == list(range(1, 12))
    assert watcher.recovered_parts == [("test", "a")]


async def test_a_cancellation_that_nobody_asked_for_is_a_bug_and_no_worker_is_lost():
    failures, watcher = recorder()
    done = asyncio.Event()

    async def work(key: str) -> None:
        if key == "bad":
            raise asyncio.CancelledError
        done.set()

    queue = WorkQueue("test", work, Pace(workers=1), FakeCounter(), failures=failures)
    queue.add(["bad", "good"])
    task = asyncio.create_task(queue.run())
    await done.wait()
    task.cancel()
    assert [f.reason for f in watcher.failures] == ["CancelledError"]


async def test_a_bug_in_the_question_for_news_costs_one_pass_and_nothing_else():
    failures, watcher = recorder()
    done: Counter[str] = Counter()
    twice = asyncio.Event()

    def is_news(key: str) -> bool:
        if key == "bad":
            raise KeyError
        return True

    async def work(key: str) -> None:
        done[key] += 1
        if done["bad"] == done["good"] == 2:
            twice.set()
        if done[key] == 1 and key == "good":
            queue.add(["bad", "good"])

    pace = Pace(workers=1, spacing=0.01, burst=2)
    queue = WorkQueue("test", work, pace, FakeCounter(), is_news, failures=failures)
    queue.add(["bad", "good"])
    task = asyncio.create_task(queue.run())
    await twice.wait()
    task.cancel()
    assert {f.key for f in watcher.failures} == {"bad"}


async def test_a_queue_that_is_run_again_begins_with_what_it_was_working_on():
    done: Counter[str] = Counter()
    begun, again = asyncio.Event(), asyncio.Event()

    async def work(key: str) -> None:
        done[key] += 1
        if done[key] == 1:
            begun.set()
            await asyncio.Event().wait()
        again.set()

    queue = WorkQueue("test", work, Pace(workers=1), FakeCounter())
    queue.add(["a"])
    first = asyncio.create_task(queue.run())
    await begun.wait()
    first.cancel()
    await asyncio.wait({first})
    second = asyncio.create_task(queue.run())
    await again.wait()
    second.cancel()
    assert done == {"a": 2}


@given(st.integers(0, 100))
def test_delays_grow_and_end_somewhere(failures: int):
    pace = Pace(spacing=1.0, first_retry=0.2, longest_retry=15.0)
    assert 1.0 <= pace.delay(failures) <= pace.delay(failures + 1) <= 15.0
