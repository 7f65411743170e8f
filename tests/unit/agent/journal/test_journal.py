"""`journal`: a restart knows what the agent knew, and no disk holds anything up."""

import asyncio
from collections.abc import Awaitable, Callable

from fleet import errors
from fleet.agent.journal import entries
from fleet.agent.journal.journal import Journal
from fleet.agent.journal.records import Record, encode
from fleet.agent.journal.store import Loaded, MemoryStore
from fleet.agent.model import intents
from fleet.agent.model.problems import Problems
from fleet.agent.model.runs import Run
from fleet.contracts.names import DeploymentName, DeviceId
from tests import virtual_time
from tests.agent_device import podman_score

DEVICE = DeviceId("dev-01")
WEB, OTHER = DeploymentName("web"), DeploymentName("other")
ONE = intents.read(WEB, podman_score({"name": "a", "image": "app:1"}), None)
TWO = intents.read(WEB, podman_score({"name": "a", "image": "app:2"}), None)


class Disk(MemoryStore):
    """A store that counts what is written, and may be full or slow."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[DeploymentName] = []
        self.is_full = False
        self.seconds = 0.0
        self.aside_seconds = 0.0

    async def set_aside(self, deployment: DeploymentName) -> str:
        await asyncio.sleep(self.aside_seconds)
        return await super().set_aside(deployment)

    async def load(self) -> Loaded:
        await asyncio.sleep(self.seconds)
        return await super().load()

    async def put(self, deployment: DeploymentName, content: bytes) -> None:
        await asyncio.sleep(self.seconds)
        if self.is_full:
            raise errors.JournalUnavailable("No space left on device")
        self.writes.append(deployment)
        await super().put(deployment, content)


def play(scenario: Callable[[Journal, Disk, Problems], Awaitable[None]]) -> None:
    """Run *scenario* beside a journal that writes."""

    async def stage() -> None:
        disk, problems = Disk(), Problems(lambda: None)
        journal = Journal(DEVICE, disk, problems, lambda: 0.5)
        journal.note_heard(WEB)
        journal.note_heard(OTHER)
        writing = asyncio.create_task(journal.run())
        try:
            await scenario(journal, disk, problems)
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    virtual_time.run(stage())


async def recall(disk: Disk) -> dict[DeploymentName, intents.Intent]:
    """What a restart would know."""
    return await Journal(DEVICE, disk, Problems(lambda: None), lambda: 0.5).load()


def reasons(problems: Problems) -> list[str]:
    """The problems that stand."""
    return [problem.reason for problem in problems.list()]


def test_what_has_settled_outlives_the_process():
    async def scenario(journal: Journal, disk: Disk, _: Problems) -> None:
        journal.note(WEB, ONE)
        journal.note(OTHER, intents.Withdraw())
        await journal.settled(WEB)
        await journal.settled(OTHER)
        assert await recall(disk) == {WEB: ONE, OTHER: intents.Withdraw()}
        journal.note(WEB, TWO)
        journal.forget(OTHER)
        await journal.settled(WEB)
        await journal.settled(OTHER)
        assert await recall(disk) == {WEB: TWO}

    play(scenario)


def test_what_stands_there_already_is_not_written_again():
    async def scenario(journal: Journal, disk: Disk, _: Problems) -> None:
        for _number in range(3):
            journal.note(WEB, ONE)
            await asyncio.sleep(1)
        journal.note(WEB, intents.Keep())
        journal.forget(OTHER)
        await asyncio.sleep(100)
        assert disk.writes == [WEB]

    play(scenario)


def test_changes_that_come_faster_than_the_disk_are_written_once():
    async def scenario(journal: Journal, disk: Disk, _: Problems) -> None:
        disk.seconds = 3.0
        journal.note(WEB, ONE)
        await asyncio.sleep(1)
        for intent in (TWO, ONE, TWO):
            journal.note(WEB, intent)
        await asyncio.sleep(100)
        assert disk.writes == [WEB, WEB]
        assert await recall(disk) == {WEB: TWO}

    play(scenario)


def test_a_full_disk_is_told_and_tried_again_and_holds_nothing_up():
    async def scenario(journal: Journal, disk: Disk, problems: Problems) -> None:
        disk.is_full = True
        journal.note(WEB, ONE)
        async with asyncio.timeout(1):
            await journal.settled(WEB)
        assert reasons(problems) == ["JournalUnavailable"]
        await asyncio.sleep(1000)
        disk.is_full = False
        await asyncio.sleep(100)
        assert reasons(problems) == []
        assert await recall(disk) == {WEB: ONE}

    play(scenario)


def test_a_disk_that_hangs_is_not_waited_for():
    async def scenario(journal: Journal, disk: Disk, _: Problems) -> None:
        disk.seconds = 10_000.0
        journal.note(WEB, ONE)
        async with asyncio.timeout(10):
            await journal.settled(WEB)

    play(scenario)


def test_a_disk_that_hangs_does_not_keep_an_agent_from_starting():
    async def scenario(journal: Journal, disk: Disk, problems: Problems) -> None:
        disk.seconds = 10_000.0
        assert await journal.load() == {}
        assert reasons(problems) == ["JournalUnavailable"]

    play(scenario)


def test_a_damaged_entry_that_cannot_be_set_aside_keeps_no_agent_from_starting():
    async def scenario(journal: Journal, disk: Disk, problems: Problems) -> None:
        entry = entries.of(DEVICE, WEB, ONE)
        assert entry
        disk.aside_seconds = 10_000.0
        disk.content = {OTHER: b"garbage", WEB: entries.encode(entry)}
        async with asyncio.timeout(60):
            assert await journal.load() == {WEB: ONE}
        assert "set aside in time" in problems.list()[0].message

    play(scenario)


def test_however_many_entries_are_damaged_a_disk_that_hangs_is_waited_for_once():
    async def scenario(journal: Journal, disk: Disk, problems: Problems) -> None:
        disk.aside_seconds = 10_000.0
        disk.content = {DeploymentName(f"bad-{number}"): b"garbage" for number in range(50)}
        async with asyncio.timeout(60):
            assert await journal.load() == {}
        assert reasons(problems) == ["DamagedJournal"]

    play(scenario)


def test_a_damaged_entry_costs_no_other_and_is_told():
    async def scenario(journal: Journal, disk: Disk, problems: Problems) -> None:
        entry = entries.of(DEVICE, WEB, ONE)
        assert entry
        disk.content = {OTHER: b"garbage", WEB: entries.encode(entry)}
        assert await journal.load() == {WEB: ONE}
        assert reasons(problems) == ["DamagedJournal"]
        assert "other" in problems.list()[0].message
        journal.note(OTHER, intents.Withdraw())
        await journal.settled(OTHER)
        assert await recall(disk) == {WEB: ONE, OTHER: intents.Withdraw()}

    play(scenario)


RENAMED = DeviceId("dev-02")
RUN = Run(service="a", digest="d1", exit_code=0)


def test_what_the_hub_has_not_heard_of_is_written_once_it_has():
    async def scenario(journal: Journal, disk: Disk, _: Problems) -> None:
        new = DeploymentName("new")
        journal.note(new, ONE)
        await asyncio.sleep(10)
        assert disk.writes == []
        journal.note_heard(new)
        await journal.settled(new)
        assert disk.writes == [new]

    play(scenario)


def test_what_comes_back_after_a_withdrawal_has_to_be_heard_of_anew():
    async def scenario(journal: Journal, disk: Disk, _: Problems) -> None:
        journal.note(WEB, ONE)
        assert journal.was_heard(WEB)
        journal.note(WEB, intents.Withdraw())
        assert not journal.was_heard(WEB)
        journal.note(WEB, TWO)
        await journal.settled(WEB)
        assert await recall(disk) == {WEB: intents.Withdraw()}
        journal.note_heard(WEB)
        await journal.settled(WEB)
        assert await recall(disk) == {WEB: TWO}

    play(scenario)


async def with_records(
    device: DeviceId, disk: Disk, records: Disk
) -> tuple[Journal, dict[DeploymentName, intents.Intent]]:
    """A journal of *device* that was loaded, and what it recalls."""
    journal = Journal(device, disk, Problems(lambda: None), lambda: 0.5, beside=records)
    return journal, await journal.load()


async def written(journal: Journal) -> None:
    """Have all of it written."""
    writing = asyncio.create_task(journal.run())
    for deployment in (WEB, OTHER):
        await journal.settled(deployment)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)


def test_runs_are_recalled_and_go_with_their_deployment():
    async def scenario() -> None:
        disk, records = Disk(), Disk()
        journal, _ = await with_records(DEVICE, disk, records)
        journal.note_heard(WEB)
        journal.note(WEB, ONE)
        journal.memory(WEB).save_runs({"a": RUN})
        await written(journal)

        journal, _ = await with_records(DEVICE, disk, records)
        assert journal.memory(WEB).runs == {"a": RUN}
        assert journal.memory(OTHER).runs == {}
        journal.forget(WEB)
        assert journal.memory(WEB).runs == {}
        await written(journal)
        assert (disk.content, records.content) == ({}, {})

    virtual_time.run(scenario())


def test_an_entry_that_is_lost_takes_no_record_with_it():
    async def scenario() -> None:
        disk, records = Disk(), Disk()
        record = Record(deployment="web", formerly=(str(RENAMED),), runs=(RUN,))
        records.content[WEB] = encode(record)
        disk.content[WEB] = b"damaged"
        for _ in ("at once", "at the next start"):
            journal, recalled = await with_records(DEVICE, disk, records)
            await written(journal)
            assert (recalled, disk.content) == ({}, {})
            assert journal.former_ids == {RENAMED}
            assert journal.memory(WEB).runs == {"a": RUN}
        journal, _ = await with_records(DEVICE, disk, records)
        journal.forget(WEB)
        await written(journal)
        assert records.content == {}
        assert journal.former_ids == frozenset()

    virtual_time.run(scenario())


def test_a_damaged_record_costs_no_entry_and_is_told():
    async def scenario() -> None:
        disk, records, problems = Disk(), Disk(), Problems(lambda: None)
        entry = entries.of(DEVICE, WEB, ONE)
        assert entry
        disk.content = {WEB: entries.encode(entry)}
        records.content = {WEB: encode(Record(deployment="other", runs=(RUN,)))}
        journal = Journal(DEVICE, disk, problems, lambda: 0.5, beside=records)
        assert await journal.load() == {WEB: ONE}
        assert reasons(problems) == ["DamagedJournal"]
        assert records.content == {}

    virtual_time.run(scenario())


def test_a_device_that_was_renamed_recalls_all_and_which_ids_it_had():
    async def scenario() -> None:
        disk, records = Disk(), Disk()
        for device, former in [(DEVICE, set()), (RENAMED, {DEVICE}), (DEVICE, {RENAMED})]:
            journal, recalled = await with_records(device, disk, records)
            assert journal.former_ids == former
            assert recalled in ({}, {WEB: ONE})
            journal.note_heard(WEB)
            journal.note(WEB, ONE)
            await written(journal)
            again, _ = await with_records(device, disk, records)
            assert again.former_ids == former

    virtual_time.run(scenario())


def test_before_an_entry_bears_the_new_id_it_is_written_which_the_old_one_was():
    async def scenario() -> None:
        disk, records = Disk(), Disk()
        journal, _ = await with_records(DEVICE, disk, records)
        journal.note_heard(WEB)
        journal.note(WEB, ONE)
        await written(journal)
        journal, _ = await with_records(RENAMED, disk, records)
        disk.seconds = 1000.0
        journal.note(WEB, ONE)
        await written(journal)
        assert list(records.content) == [WEB]
        assert b'"dev-01"' in disk.content[WEB]

    virtual_time.run(scenario())
