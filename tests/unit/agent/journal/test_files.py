"""`files`: what stands on the disk, whenever the power goes."""

import asyncio
import os
from itertools import pairwise
from pathlib import Path

import pytest

from fleet import errors
from fleet.agent.journal.files import KEPT_ASIDE, RECORD, FileStore
from fleet.contracts.names import DeploymentName

WEB, OTHER = DeploymentName("web"), DeploymentName("other")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the journal lies; it isn't there yet."""
    return tmp_path / "state" / "journal"


def mode(path: Path) -> int:
    """Who may do what."""
    return path.stat().st_mode & 0o777


def open_to_all(path: Path) -> None:
    """Let everybody in."""
    path.chmod(0o755)


def files(directory: Path) -> list[Path]:
    """What lies there."""
    return sorted(directory.iterdir())


async def test_what_was_written_is_read_and_what_was_removed_is_not(directory: Path):
    store = FileStore(directory)
    await store.put(WEB, b"one")
    await store.put(WEB, b"two")
    await store.put(OTHER, b"three")
    await store.remove(OTHER)
    await store.remove(OTHER)
    loaded = await FileStore(directory).load()
    assert (loaded.content, loaded.complaints) == ({WEB: b"two"}, ())


async def test_nobody_else_can_read_it(directory: Path):
    store = FileStore(directory)
    await store.load()
    open_to_all(directory)
    await store.put(WEB, b"secret")
    assert mode(directory) == 0o700
    assert mode(directory / "web.entry") == 0o600


async def test_what_a_crash_left_half_written_is_cleared_away(directory: Path):
    store = FileStore(directory)
    await store.put(WEB, b"whole")
    (directory / "web.entry.new").write_bytes(b"hal")
    assert (await store.load()).content == {WEB: b"whole"}
    assert [path.name for path in files(directory)] == ["web.entry"]


async def test_a_write_never_shows_half_of_itself_to_a_reader(directory: Path):
    """Who began to read before a write reads on what stood there: its bytes are never changed."""
    store = FileStore(directory)
    path = directory / "web.entry"
    contents = (b"a" * 200_000, b"b" * 200_000, b"c")
    await store.put(WEB, contents[0])
    for before, after in pairwise(contents):
        with path.open("rb", buffering=0) as reader:
            begun = reader.read(10)
            await store.put(WEB, after)
            assert begun + reader.read() == before
        assert path.read_bytes() == after
        assert files(directory) == [path]


async def test_what_cannot_be_read_is_set_aside_and_the_rest_is_read(directory: Path):
    store = FileStore(directory)
    await store.put(OTHER, b"whole")
    (directory / "web.entry").mkdir()
    os.mkfifo(directory / "pipe.entry")
    (directory / "Not_A_Name.entry").write_bytes(b"")
    (directory / "link.entry").symlink_to("/dev/zero")
    loaded = await store.load()
    assert loaded.content == {OTHER: b"whole"}
    assert len(loaded.complaints) == 4
    assert all(".damaged-" in complaint for complaint in loaded.complaints)
    again = await store.load()
    assert (again.content, again.complaints) == ({OTHER: b"whole"}, ())


async def test_only_the_last_few_that_were_set_aside_are_kept(directory: Path):
    store = FileStore(directory)
    for number in range(2 * KEPT_ASIDE):
        await store.put(WEB, b"%d" % number)
        await store.set_aside(WEB)
    kept = [path.read_bytes() for path in files(directory)]
    assert kept == [b"%d" % n for n in range(KEPT_ASIDE, 2 * KEPT_ASIDE)]


async def test_what_cannot_be_replaced_goes_lest_a_restart_goes_back_to_it(directory: Path):
    store = FileStore(directory)
    await store.put(WEB, b"old")
    await store.put(OTHER, b"other")
    await asyncio.to_thread((directory / "web.entry.new").mkdir)
    with pytest.raises(errors.JournalUnavailable):
        await store.put(WEB, b"new")
    assert (await store.load()).content == {OTHER: b"other"}


async def test_a_record_that_cannot_be_replaced_stays(directory: Path):
    store = FileStore(directory, RECORD)
    await store.put(WEB, b"old")
    await asyncio.to_thread((directory / "web.record.new").mkdir)
    with pytest.raises(errors.JournalUnavailable):
        await store.put(WEB, b"new")
    assert (await store.load()).content == {WEB: b"old"}


async def test_each_kind_of_file_is_its_own_store(directory: Path):
    entries, records = FileStore(directory), FileStore(directory, RECORD)
    await entries.put(WEB, b"entry")
    await records.put(WEB, b"record")
    assert (await entries.load()).content == {WEB: b"entry"}
    assert (await records.load()).content == {WEB: b"record"}
    await records.set_aside(WEB)
    await records.remove(WEB)
    assert (await entries.load()).content == {WEB: b"entry"}
    assert (await records.load()).content == {}


async def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    store = FileStore(tmp_path / "file" / "journal")
    with pytest.raises(errors.JournalUnavailable, match=r"file/journal: "):
        await store.load()
    with pytest.raises(errors.JournalUnavailable, match=r"file/journal: "):
        await store.put(WEB, b"")
    with pytest.raises(errors.JournalUnavailable, match=r"file/journal: "):
        await store.remove(WEB)
