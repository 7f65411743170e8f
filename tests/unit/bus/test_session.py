"""How the reader of an inbox waits: with one timer for all its waits."""

import asyncio

import pytest

from fleet import errors
from fleet.bus.client import Arrived
from fleet.bus.session import Inbox
from tests import virtual_time

ONE, OTHER = (Arrived("inbox", "", data) for data in (b"1", b"2"))
LOST = errors.BusUnavailable("the connection is lost")


async def seconds_until_given_up(inbox: Inbox, seconds: float) -> float:
    loop = asyncio.get_running_loop()
    since = loop.time()
    with pytest.raises(errors.BusUnavailable, match=f"nothing heard for {seconds:g} s"):
        await inbox.next(seconds=seconds)
    return loop.time() - since


def test_what_arrived_is_taken_in_order_and_then_why_nothing_more_will():
    async def scenario() -> None:
        inbox = Inbox("inbox", backlog=9)
        inbox.add(ONE)
        inbox.add(OTHER)
        inbox.add(LOST)
        assert [await inbox.next(seconds=1), await inbox.next(seconds=1)] == [ONE, OTHER]
        with pytest.raises(errors.BusUnavailable, match="lost"):
            await inbox.next(seconds=1)

    virtual_time.run(scenario())


def test_what_a_slow_reader_leaves_lying_is_bounded_but_for_the_end():
    async def scenario() -> None:
        inbox = Inbox("inbox", backlog=1)
        inbox.add(ONE)
        inbox.add(OTHER)
        inbox.add(LOST)
        assert await inbox.next(seconds=1) == ONE
        with pytest.raises(errors.BusUnavailable, match="lost"):
            await inbox.next(seconds=1)

    virtual_time.run(scenario())


def test_a_reader_hears_at_once():
    async def scenario() -> None:
        inbox, loop = Inbox("inbox", backlog=9), asyncio.get_running_loop()
        loop.call_later(3, inbox.add, ONE)
        assert await inbox.next(seconds=10) == ONE
        assert loop.time() == pytest.approx(3)

    virtual_time.run(scenario())


def test_each_wait_has_its_whole_time():
    """The alarm was set for the first; it goes off amid a later one, and is set anew."""

    async def scenario() -> None:
        inbox, loop = Inbox("inbox", backlog=9), asyncio.get_running_loop()
        for _ in range(3):
            loop.call_later(7, inbox.add, ONE)
            assert await inbox.next(seconds=10) == ONE
        assert await seconds_until_given_up(inbox, 10) == pytest.approx(10)

    virtual_time.run(scenario())


def test_a_shorter_wait_after_a_longer_one_has_no_more_than_its_time():
    async def scenario() -> None:
        inbox, loop = Inbox("inbox", backlog=9), asyncio.get_running_loop()
        loop.call_later(1, inbox.add, ONE)
        assert await inbox.next(seconds=100) == ONE
        assert await seconds_until_given_up(inbox, 5) == pytest.approx(5)

    virtual_time.run(scenario())


def test_an_alarm_that_nobody_waits_for_is_not_missed_later():
    async def scenario() -> None:
        inbox, loop = Inbox("inbox", backlog=9), asyncio.get_running_loop()
        loop.call_later(1, inbox.add, ONE)
        assert await inbox.next(seconds=10) == ONE
        await asyncio.sleep(60)
        assert await seconds_until_given_up(inbox, 10) == pytest.approx(10)

    virtual_time.run(scenario())


def test_a_reader_who_is_cancelled_loses_nothing():
    async def scenario() -> None:
        inbox = Inbox("inbox", backlog=9)
        reader = asyncio.create_task(inbox.next(seconds=10))
        await asyncio.sleep(0)
        inbox.add(ONE)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert await inbox.next(seconds=10) == ONE

    virtual_time.run(scenario())
