"""Upgrades and ways back: what one version of the agent writes, the other one reads."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from fleet.agent.journal import entries, files
from fleet.agent.journal.journal import Journal
from fleet.agent.model import intents
from fleet.agent.model.problems import Problems
from fleet.agent.model.runs import Run
from tests.unit.agent.journal import version_1
from tests.unit.agent.journal.test_entries import BETTER, DEVICE, FOREIGN, GOOD, INTENTS, WEB

RUN = Run(service="a", digest="d1", exit_code=0)


@pytest.mark.parametrize("intent", INTENTS)
def test_the_version_before_reads_what_this_one_writes(intent: intents.Intent):
    entry = entries.of(DEVICE, WEB, intent)
    assert entry is not None
    then = version_1.decode(DEVICE, WEB, entries.encode(entry))
    assert msgspec.structs.asdict(then) == msgspec.structs.asdict(entry)
    assert entries.encode(entry) == version_1.encode(then)


def names(directory: Path) -> list[str]:
    """The files that lie there."""
    return [path.name for path in directory.iterdir()]


class Agent:
    """An agent of this version, out of the hub's reach, with its journal in a directory."""

    def __init__(self, directory: Path) -> None:
        self.problems = Problems(lambda: None)
        store, records = files.FileStore(directory), files.FileStore(directory, files.RECORD)
        self.journal = Journal(DEVICE, store, self.problems, lambda: 0.5, beside=records)

    async def start(self) -> dict[str, intents.Intent]:
        """What it goes on with, as its loops would note it."""
        recalled = await self.journal.load()
        assert self.problems.list() == ()
        for deployment, intent in recalled.items():
            self.journal.note(deployment, intent)
        return {str(name): intent for name, intent in recalled.items()}

    async def write(self) -> None:
        """Write what there is to write, and end."""
        writing = asyncio.create_task(self.journal.run())
        await self.journal.settled(WEB)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def test_upgrades_and_ways_back_keep_the_last_good_state_and_what_ran(tmp_path: Path):
    kept = version_1.Entry(device_id="dev-01", deployment="web", desired=FOREIGN, kept=GOOD)
    version_1.write(tmp_path, kept)

    agent = Agent(tmp_path)
    recalled = await agent.start()
    assert recalled == {WEB: intents.read(WEB, FOREIGN, intents.read(WEB, GOOD, None))}
    agent.journal.memory(WEB).save_runs({"a": RUN})
    await agent.write()

    assert version_1.read(DEVICE, tmp_path) == {WEB: kept}
    newer = version_1.Entry(device_id="dev-01", deployment="web", desired=BETTER)
    version_1.write(tmp_path, newer)

    agent = Agent(tmp_path)
    assert await agent.start() == {WEB: intents.read(WEB, BETTER, None)}
    assert agent.journal.memory(WEB).runs == {"a": RUN}


async def test_an_upgrade_writes_nothing_that_stands_there_already(tmp_path: Path):
    version_1.write(tmp_path, version_1.Entry(device_id="dev-01", deployment="web", desired=GOOD))
    before = (tmp_path / "web.entry").stat().st_ino
    agent = Agent(tmp_path)
    await agent.start()
    await agent.write()
    assert (tmp_path / "web.entry").stat().st_ino == before
    assert names(tmp_path) == ["web.entry"]


async def test_of_what_an_agent_of_then_withdrew_all_that_ran_is_forgotten_with_the_marker(
    tmp_path: Path,
):
    agent = Agent(tmp_path)
    await agent.start()
    agent.journal.note_heard(WEB)
    agent.journal.note(WEB, intents.read(WEB, GOOD, None))
    agent.journal.memory(WEB).save_runs({"a": RUN})
    await agent.write()
    (tmp_path / "web.entry").unlink()

    agent = Agent(tmp_path)
    assert await agent.start() == {}
    agent.journal.note(WEB, intents.Withdraw())
    agent.journal.forget(WEB)
    assert agent.journal.memory(WEB).runs == {}
    await agent.write()
    assert names(tmp_path) == []
