"""`heartbeat`: it beats, and twins notice each other."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from fleet.agent.hub.heartbeat import Heartbeat
from fleet.agent.model.problems import Problems
from fleet.bus.memory import MemoryBucket, MemoryServer
from fleet.bus.port import Put
from fleet.contracts import messages
from fleet.contracts.messages import HeartbeatPayload
from fleet.contracts.names import DeviceId
from fleet.contracts.permissions import device_permissions
from tests import virtual_time

DEVICE = DeviceId("dev-01")
KEY = "heartbeat.dev-01"


def beating(
    server: MemoryServer,
    instance: str,
    on_again: Callable[[], None] = lambda: None,
    random: float = 0.5,
    interval: float = 10,
) -> tuple["asyncio.Task[None]", Problems]:
    """Start the heart of one agent, with just its device's rights."""
    bus = server.connect(device_permissions(DEVICE))
    problems = Problems(lambda: None)
    heart = Heartbeat(
        DEVICE,
        instance,
        bus.bucket(messages.DEVICE_HEARTBEAT),
        problems,
        session=lambda: bus.session,
        on_again=on_again,
        now=lambda: datetime.now(UTC),
        random=lambda: random,
        interval=interval,
    )
    return asyncio.create_task(heart.run()), problems


async def end(*tasks: "asyncio.Task[None]") -> None:
    """Stop hearts."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def beats(server: MemoryServer) -> MemoryBucket[HeartbeatPayload]:
    """The bucket, as the operator reads it."""
    return server.connect().bucket(messages.DEVICE_HEARTBEAT)


@pytest.mark.parametrize("interval", [10, 4])
def test_it_beats_once_an_interval(interval: int):
    async def scenario() -> None:
        server = MemoryServer()
        task, problems = beating(server, "one", interval=interval)
        await asyncio.sleep(9.5 * interval)
        entry = await beats(server).get(KEY)
        assert isinstance(entry, Put)
        assert entry.value.instance == "one"
        assert entry.revision == 10
        assert problems.list() == ()
        await end(task)

    virtual_time.run(scenario())


def test_twins_notice_each_other_and_the_survivor_forgets():
    async def scenario() -> None:
        server = MemoryServer()
        one, problems_one = beating(server, "one")
        await asyncio.sleep(3)
        two, problems_two = beating(server, "two")
        await asyncio.sleep(60)
        assert [p.reason for p in problems_one.list()] == ["DuplicateAgent"]
        assert [p.reason for p in problems_two.list()] == ["DuplicateAgent"]
        await end(two)
        await asyncio.sleep(120)
        assert problems_one.list() == ()
        await end(one)

    virtual_time.run(scenario())


def test_a_restart_a_break_and_a_bucket_made_anew_are_no_twins():
    async def scenario() -> None:
        server = MemoryServer()
        first, _ = beating(server, "one")
        await asyncio.sleep(25)
        await end(first)
        second, problems = beating(server, "two")
        await asyncio.sleep(25)
        server.stop()
        await asyncio.sleep(60)
        server.start()
        await asyncio.sleep(25)
        server.drop_buckets()
        server.make_buckets()
        await asyncio.sleep(25)
        assert problems.list() == ()
        entry = await beats(server).get(KEY)
        assert isinstance(entry, Put)
        await end(second)

    virtual_time.run(scenario())


def test_breaks_in_quick_succession_are_no_twins():
    async def scenario() -> None:
        server = MemoryServer()
        task, problems = beating(server, "one")
        for _ in range(3):
            await asyncio.sleep(15)
            server.stop()
            await asyncio.sleep(15)
            server.drop_buckets()
            server.make_buckets()
            server.start()
        await asyncio.sleep(15)
        assert problems.list() == ()
        await end(task)

    virtual_time.run(scenario())


def test_whoever_is_heard_again_within_a_session_says_everything_again_once():
    async def scenario() -> None:
        server = MemoryServer()
        again: list[float] = []
        task, _ = beating(server, "one", lambda: again.append(asyncio.get_running_loop().time()))
        await asyncio.sleep(35)
        assert again == []
        server.drop_buckets()  # no answer, on a connection that stands
        await asyncio.sleep(60)
        server.make_buckets()
        await asyncio.sleep(35)
        assert len(again) == 1
        server.stop()
        await asyncio.sleep(60)
        server.start()
        await asyncio.sleep(35)
        assert len(again) == 1, "after a new connection the link says it"
        await end(task)

    virtual_time.run(scenario())


@pytest.mark.parametrize(("random", "seconds"), [(0.0, 9.0), (1.0, 11.0)])
def test_beats_of_a_fleet_that_started_together_drift_apart(random: float, seconds: float):
    async def scenario() -> None:
        server = MemoryServer()
        task, _ = beating(server, "one", random=random)
        await asyncio.sleep(10 * seconds - 0.5)
        entry = await beats(server).get(KEY)
        assert isinstance(entry, Put)
        assert entry.revision == 10
        await end(task)

    virtual_time.run(scenario())


async def interfere(server: MemoryServer) -> None:
    """Write one beat of another agent, between two of ours."""
    beat = HeartbeatPayload(device_id=DEVICE, at=datetime.now(UTC), instance="other")
    await beats(server).put(KEY, beat)


def test_two_conflicts_long_apart_are_no_twin():
    async def scenario() -> None:
        server = MemoryServer()
        task, problems = beating(server, "one")
        for _ in range(3):
            await asyncio.sleep(5)
            await interfere(server)
            await asyncio.sleep(15)
            assert problems.list() == ()
            await asyncio.sleep(60)
        await end(task)

    virtual_time.run(scenario())


def test_a_twin_that_is_heard_now_and_then_is_not_forgotten_in_between():
    async def scenario() -> None:
        server = MemoryServer()
        task, problems = beating(server, "one")
        await asyncio.sleep(5)
        for _ in range(4):
            await interfere(server)
            await asyncio.sleep(40)
        assert [p.reason for p in problems.list()] == ["DuplicateAgent"]
        await asyncio.sleep(10)
        assert [p.reason for p in problems.list()] == ["DuplicateAgent"]
        await end(task)

    virtual_time.run(scenario())
