"""How a session's calls and the reader of an inbox wait: with one timer for all their waits."""

import asyncio
from datetime import timedelta

import pytest

from fleet import errors
from fleet.bus.client import Arrived
from fleet.bus.pace import Pace
from fleet.bus.session import Inbox, Session
from tests import virtual_time

ONE, OTHER = (Arrived("inbox", "", data) for data in (b"1", b"2"))
LOST = errors.BusUnavailable("the connection is lost")
PATIENCE = 5.0


class Wire:
    """A connection that takes everything."""

    has_room = True


class Client:
    """Answers nothing by itself; keeps where each question wants its answer."""

    max_payload = 1000

    def __init__(self) -> None:
        self.replies: list[str] = []

    def post(self, *_: object, reply: str, **__: object) -> None:
        self.replies.append(reply)


def opened() -> tuple[Session, Client]:
    """Make a session as it is once it was let in."""
    session, client = Session("x", "_INBOX", Pace(patience=timedelta(seconds=PATIENCE))), Client()
    session._wire = Wire()  # type: ignore[assignment]
    session._client = client  # type: ignore[assignment]
    return session, client


async def seconds_until_no_answer(session: Session) -> float:
    loop = asyncio.get_running_loop()
    since = loop.time()
    with pytest.raises(errors.BusUnavailable, match=r"no answer to a\.b within 5 s"):
        await session.request("a.b")
    return loop.time() - since


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


def test_each_call_has_its_whole_patience_and_no_more():
    async def scenario() -> None:
        session, _ = opened()
        calls = []
        for _ in range(4):
            calls.append(asyncio.create_task(seconds_until_no_answer(session)))
            await asyncio.sleep(2)
        assert await asyncio.gather(*calls) == pytest.approx([PATIENCE] * 4)
        assert await seconds_until_no_answer(session) == pytest.approx(PATIENCE)

    virtual_time.run(scenario())


def test_an_answer_that_comes_too_late_is_nobodys():
    async def scenario() -> None:
        session, client = opened()
        assert await seconds_until_no_answer(session) == pytest.approx(PATIENCE)
        session._on_reply(Arrived(client.replies[0], "", b"late"))
        call = asyncio.create_task(session.request("a.b"))
        await asyncio.sleep(1)
        session._on_reply(Arrived(client.replies[1], "", b"in time"))
        assert (await call).data == b"in time"

    virtual_time.run(scenario())


def test_a_call_that_was_cancelled_takes_no_time_from_the_next():
    async def scenario() -> None:
        session, _ = opened()
        call = asyncio.create_task(session.request("a.b"))
        await asyncio.sleep(3)
        call.cancel()
        assert await seconds_until_no_answer(session) == pytest.approx(PATIENCE)

    virtual_time.run(scenario())
