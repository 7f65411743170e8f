"""`status_socket`, `status_command`: an agent answers for itself, nobody for one that is gone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleet import errors
from fleet.agent.device import status_command, status_socket
from fleet.agent.device.status import Snapshot
from fleet.agent.journal.files import FileStore
from fleet.agent.settings import Nats, Settings
from fleet.agent.system import state_directory
from tests.unit.agent.journal.test_entries import DEVICE, WEB, good, written
from tests.waiting import eventually

SNAPSHOT = Snapshot(device_id="dev-01", is_running=True)


@contextlib.asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[None]:
    """Answer in *directory*."""
    task = asyncio.create_task(status_socket.serve(directory, lambda: SNAPSHOT))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def answers(directory: Path) -> Snapshot:
    """Wait for an answer."""

    async def look() -> Snapshot | None:
        with contextlib.suppress(errors.NotReady):
            return await asyncio.to_thread(status_command.ask_agent, directory)
        return None

    return await eventually(look, "an answer")


def mode(path: Path) -> int:
    """Who may do what."""
    return path.stat().st_mode & 0o777


async def test_who_asks_is_told_again_and_again_and_after_a_crash_too(tmp_path: Path):
    deep = tmp_path / ("long-" * 20) / ("long-" * 20)
    await asyncio.to_thread(deep.mkdir, parents=True)
    for _ in range(2):
        async with serving(deep):
            assert await answers(deep) == SNAPSHOT
            assert await answers(deep) == SNAPSHOT
            assert mode(deep / status_socket.NAME) == 0o600
        with pytest.raises(errors.NotReady):
            await asyncio.to_thread(status_command.ask_agent, deep)


async def test_a_person_who_hangs_up_harms_nobody(tmp_path: Path):
    async with serving(tmp_path):
        await answers(tmp_path)
        for _ in range(3):
            _, writer = await asyncio.open_unix_connection(str(tmp_path / status_socket.NAME))
            writer.close()
        assert await answers(tmp_path) == SNAPSHOT


def settings(directory: Path) -> Settings:
    """A configuration."""
    return Settings(device_id=DEVICE, nats=Nats(url="nats://x:4222"), state_dir=directory)


async def test_the_journal_speaks_for_an_agent_that_is_gone_and_is_left_as_it_is(tmp_path: Path):
    store = FileStore(tmp_path / "journal")
    await store.put(WEB, written(good))
    (tmp_path / "journal" / "bad.entry").write_bytes(b"garbage")
    (tmp_path / "journal" / "web.entry.new").write_bytes(b"being written")
    before = sorted(p.name for p in await asyncio.to_thread(list, (tmp_path / "journal").iterdir()))
    told = await asyncio.to_thread(status_command.ask, settings(tmp_path))
    after = sorted(p.name for p in await asyncio.to_thread(list, (tmp_path / "journal").iterdir()))
    assert not told.is_running
    assert [d.name for d in told.deployments] == ["web"]
    assert [p.reason for p in told.problems] == ["DamagedJournal"]
    assert told.at is not None
    assert after == before


def test_a_device_where_no_agent_ever_ran_has_nothing_to_tell(tmp_path: Path):
    told = status_command.ask(settings(tmp_path / "none"))
    assert (told.is_running, told.deployments, told.at) == (False, (), None)


def test_a_state_directory_is_held_by_one_agent_at_a_time(tmp_path: Path):
    with (
        state_directory.held(tmp_path / "state"),
        pytest.raises(errors.DirectoryUnusable, match="another agent"),
        state_directory.held(tmp_path / "state"),
    ):
        pass
    with state_directory.held(tmp_path / "state"):
        assert mode(tmp_path / "state") == 0o700


def test_an_agent_goes_on_without_a_state_directory_that_cannot_be_made(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with state_directory.held(tmp_path / "file" / "state"):
        pass
