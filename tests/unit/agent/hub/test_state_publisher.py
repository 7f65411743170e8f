"""`state_publisher`: when a state is written, and when it is not."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fleet.agent.hub.state_publisher import Pace, StateKey, StatePublisher
from fleet.agent.model.reports import Report
from fleet.bus.memory import MemoryBucket, MemoryServer
from fleet.bus.port import Deleted, Put
from fleet.contracts import messages
from fleet.contracts.messages import DeploymentState, Phase, ServiceState
from fleet.contracts.names import DeploymentName, DeviceId
from tests import virtual_time

KEY = "state.dev-01.web"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PENDING = Report("r1", Phase.PENDING)
RUNNING = Report("r1", Phase.RUNNING, (ServiceState(name="a", state="running"),))

Scenario = Callable[[StateKey, MemoryBucket[DeploymentState], MemoryServer], Awaitable[None]]


def play(scenario: Scenario, *, may_speak: bool = True) -> None:
    """Run *scenario* against a key that is being written."""

    async def stage() -> None:
        server = MemoryServer(clock=lambda: NOW)
        bucket = server.connect().bucket(messages.DEVICE_STATE)
        gate = asyncio.Event()
        if may_speak:
            gate.set()
        publisher = StatePublisher(DeviceId("dev-01"), bucket, lambda: NOW, gate, lambda: 0.5)
        key = StateKey(publisher, DeploymentName("web"))
        task = asyncio.create_task(key.run())
        try:
            await scenario(key, bucket, server)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(stage())


async def revision(bucket: MemoryBucket[DeploymentState]) -> int:
    """How many writes there were."""
    entry = await bucket.get(KEY)
    return entry.revision if entry else 0


def test_what_the_journal_knows_is_said_at_once():
    async def scenario(key: StateKey, bucket: MemoryBucket[DeploymentState], _: MemoryServer):
        key.tell(PENDING)
        async with asyncio.timeout(0.5):
            await key.heard()
        key.withdraw()
        async with asyncio.timeout(5):
            await key.gone()

    play(scenario, may_speak=False)


def test_the_first_word_is_written_at_once_and_heard():
    async def scenario(key: StateKey, bucket: MemoryBucket[DeploymentState], _: MemoryServer):
        key.tell(PENDING)
        async with asyncio.timeout(0.5):
            await key.heard()
        entry = await bucket.get(KEY)
        assert isinstance(entry, Put)
        assert entry.value == DeploymentState(
            device_id=DeviceId("dev-01"),
            deployment=DeploymentName("web"),
            phase=Phase.PENDING,
            revision="r1",
            updated_at=NOW,
        )

    play(scenario)


def test_that_nothing_is_known_is_not_said_before_the_hub_has_told_all_it_wants():
    async def scenario(key: StateKey, bucket: MemoryBucket[DeploymentState], _: MemoryServer):
        key.tell(replace(PENDING, revision=""))
        await asyncio.sleep(100)
        assert await revision(bucket) == 0

    play(scenario, may_speak=False)


def test_changes_within_a_second_are_one_write():
    async def scenario(key: StateKey, bucket: MemoryBucket[DeploymentState], _: MemoryServer):
        key.tell(PENDING)
        await key.heard()
        for number in range(10):
            key.tell(replace(RUNNING, services=(ServiceState(name="a", state=str(number)),)))
        key.tell(RUNNING)
        await asyncio.sleep(5)
        assert await revision(bucket) == 2
        entry = await bucket.get(KEY)
        assert isinstance(entry, Put)
        assert entry.value.services == RUNNING.services

    play(scenario)


def test_the_first_turn_of_a_revision_is_told_at_once_and_the_next_a_second_later():
    async def scenario(key: StateKey, bucket: MemoryBucket[DeploymentState], _: MemoryServer):
        for count, name in ((1, "r1"), (3, "r2")):
            key.tell(replace(PENDING, revision=name))
            await asyncio.sleep(0.1)
            assert await revision(bucket) == count
            # What is only more of the same doesn't hold up what turns the phase.
            key.tell(replace(PENDING, revision=name, services=RUNNING.services))
            await asyncio.sleep(0.1)
            assert await revision(bucket) == count
            key.tell(replace(RUNNING, revision=name))
            await asyncio.sleep(0.1)
            assert await revision(bucket) == count + 1
            await asyncio.sleep(2)
        key.tell(replace(PENDING, revision="r2"))
        key.tell(replace(RUNNING, revision="r2", phase=Phase.FAILED))
        await asyncio.sleep(0.1)
        key.tell(replace(PENDING, revision="r2"))
        await asyncio.sleep(0.1)
        assert await revision(bucket) == 5
        await asyncio.sleep(1)
        assert await revision(bucket) == 6

    play(scenario)


def test_restart_counts_alone_write_nothing():
    async def scenario(key: StateKey, bucket: MemoryBucket[DeploymentState], _: MemoryServer):
        key.tell(RUNNING)
        await asyncio.sleep(5)
        again = ServiceState(name="a", state="running", restarts=7)
        key.tell(replace(RUNNING, services=(again,)))
        await asyncio.sleep(100)
        assert await revision(bucket) == 1

    play(scenario)


def test_what_keeps_changing_is_written_ever_more_rarely_but_a_new_revision_soon():
    async def scenario(key: StateKey, bucket: MemoryBucket[DeploymentState], _: MemoryServer):
        for number in range(600):
            key.tell(RUNNING if number % 2 else PENDING)
            await asyncio.sleep(1)
        assert await revision(bucket) <= 6 + 5 + 600 / 30
        key.tell(replace(PENDING, revision="r2"))
        await asyncio.sleep(2.1)
        entry = await bucket.get(KEY)
        assert isinstance(entry, Put)
        assert entry.value.revision == "r2"

    play(scenario)


def test_what_could_not_be_written_is_written_once_the_hub_is_back():
    async def scenario(key: StateKey, bucket: MemoryBucket[DeploymentState], server: MemoryServer):
        server.stop()
        key.tell(PENDING)
        await asyncio.sleep(60)
        key.tell(RUNNING)
        server.start()
        async with asyncio.timeout(30):
            await key.heard()
        entry = await bucket.get(KEY)
        assert isinstance(entry, Put)
        assert entry.value.phase is Phase.RUNNING
        assert entry.revision == 1

    play(scenario)


def test_what_was_stored_while_its_answer_was_lost_is_not_heard_before_another_answer_came():
    async def scenario(key: StateKey, bucket: MemoryBucket[DeploymentState], server: MemoryServer):
        server.buses[0].lose_answers(2)
        key.tell(PENDING)
        await asyncio.sleep(0.2)
        assert isinstance(await bucket.get(KEY), Put)
        assert not key.is_heard
        async with asyncio.timeout(10):
            await key.heard()
        assert await revision(bucket) == 3

        server.buses[0].lose_answers()
        key.withdraw()
        async with asyncio.timeout(10):
            await key.gone()
        assert isinstance(await bucket.get(KEY), Deleted)
        assert await revision(bucket) == 5

    play(scenario)


def test_the_same_is_written_again_when_asked_to():
    async def scenario(key: StateKey, bucket: MemoryBucket[DeploymentState], _: MemoryServer):
        key.tell(RUNNING)
        await key.heard()
        key.repeat()
        await asyncio.sleep(5)
        assert await revision(bucket) == 2

    play(scenario)


def test_a_withdrawn_key_is_deleted_and_what_follows_has_to_be_heard_anew():
    async def scenario(key: StateKey, bucket: MemoryBucket[DeploymentState], _: MemoryServer):
        key.tell(RUNNING)
        await key.heard()
        key.withdraw()
        async with asyncio.timeout(2):
            await key.gone()
        assert isinstance(await bucket.get(KEY), Deleted)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await key.heard()
        key.tell(RUNNING)
        async with asyncio.timeout(2):
            await key.heard()

    play(scenario)


@pytest.mark.parametrize(
    ("writes", "gap"), [(0, 1), (1, 1), (6, 1), (7, 2), (8, 4), (10, 16), (11, 30), (9999, 30)]
)
def test_the_gap_grows_only_after_a_burst(writes: int, gap: float):
    assert Pace().gap(writes) == gap


class Slow:
    """A bucket whose answers take three seconds: what it was asked for stands before."""

    def __init__(self, bucket: MemoryBucket[DeploymentState]) -> None:
        self._bucket = bucket
        self.ttls: list[timedelta | None] = []

    async def put(self, key: str, value: DeploymentState, *, last: int | None = None) -> int:
        written = await self._bucket.put(key, value, last=last)
        await asyncio.sleep(3)
        return written

    async def delete(self, key: str, *, ttl: timedelta | None = None) -> None:
        self.ttls.append(ttl)
        await self._bucket.delete(key, ttl=ttl)
        await asyncio.sleep(3)


def play_slowly(scenario: Callable[[StateKey, Slow, list[str]], Awaitable[None]]) -> None:
    """Run *scenario* against a key of a slow bucket; the list is of what was heard."""

    async def stage() -> None:
        bucket = Slow(MemoryServer(clock=lambda: NOW).connect().bucket(messages.DEVICE_STATE))
        gate = asyncio.Event()
        gate.set()
        publisher = StatePublisher(
            DeviceId("dev-01"),
            bucket,  # type: ignore[arg-type]  # what a publisher needs of a bucket
            lambda: NOW,
            gate,
            lambda: 0.5,
        )
        heard: list[str] = []
        key = StateKey(publisher, DeploymentName("web"), lambda: heard.append("web"))
        task = asyncio.create_task(key.run())
        try:
            await scenario(key, bucket, heard)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    virtual_time.run(stage())


async def never(awaited: Awaitable[None]) -> None:
    """Claim that *awaited* takes longer than anything here."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await awaited


def test_a_state_that_was_written_too_late_is_not_heard():
    async def scenario(key: StateKey, _: Slow, heard: list[str]) -> None:
        key.tell(PENDING)
        await asyncio.sleep(1)
        key.withdraw()
        await asyncio.sleep(2.5)  # the answer to the put is there, that to the marker isn't
        await never(key.heard())
        await key.gone()
        assert heard == []
        key.tell(RUNNING)
        await key.heard()
        assert heard == ["web"]

    play_slowly(scenario)


def test_a_key_that_is_told_anew_is_not_gone_though_its_marker_was_written():
    async def scenario(key: StateKey, _: Slow, __: list[str]) -> None:
        key.withdraw()
        await asyncio.sleep(1)
        key.tell(RUNNING)
        await asyncio.sleep(2.5)
        await never(key.gone())

    play_slowly(scenario)


def test_a_key_that_was_gone_and_is_told_or_withdrawn_anew_is_not_gone_yet():
    async def scenario(key: StateKey, _: Slow, __: list[str]) -> None:
        key.withdraw()
        await key.gone()
        key.withdraw()
        await never(key.gone())
        await key.gone()
        key.tell(RUNNING)
        await never(key.gone())

    play_slowly(scenario)


def test_a_marker_of_a_state_goes_by_itself_after_an_hour():
    async def scenario(key: StateKey, bucket: Slow, _: list[str]) -> None:
        key.withdraw()
        await key.gone()
        assert bucket.ttls == [timedelta(hours=1)]

    play_slowly(scenario)
