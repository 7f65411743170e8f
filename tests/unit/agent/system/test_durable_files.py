"""`durable_files`, and what is built on it: what has to be on the disk before what."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fleet import errors
from fleet.agent.journal.files import FileStore
from fleet.agent.system import durable_files
from fleet.contracts.names import DeploymentName

WEB = DeploymentName("web")


class Disk:
    """Notes what is synced, with the names that were in its directory at that time."""

    def __init__(self) -> None:
        self.synced: list[tuple[str, list[str]]] = []
        self._fsync = os.fsync

    def fsync(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        directory = path if path.is_dir() else path.parent
        names = sorted(each.name for each in directory.iterdir())
        self.synced.append(("." if path == directory else path.name, names))
        self._fsync(descriptor)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Watch what is synced."""
    made = Disk()
    monkeypatch.setattr(os, "fsync", made.fsync)
    return made


def test_a_file_is_synced_before_it_takes_its_place_and_its_directory_after(
    disk: Disk, tmp_path: Path
):
    durable_files.replace(tmp_path / "file", b"content")
    assert disk.synced == [("file.new", ["file.new"]), (".", ["file"])]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda store: store.remove(WEB), []),
        (lambda store: store.set_aside(WEB), ["web.entry.damaged-1"]),
    ],
    ids=["remove", "set aside"],
)
async def test_what_is_removed_or_set_aside_stays_so(
    change: Callable[[FileStore], Awaitable[object]], names: list[str], disk: Disk, tmp_path: Path
):
    store = FileStore(tmp_path)
    await store.put(WEB, b"content")
    disk.synced.clear()
    await change(store)
    assert disk.synced == [(".", names)]


async def test_what_could_not_be_replaced_and_went_is_gone_for_good(disk: Disk, tmp_path: Path):
    store = FileStore(tmp_path)
    await store.put(WEB, b"content")
    disk.synced.clear()
    blocker = tmp_path / "web.entry.new"
    blocker.mkdir()
    with pytest.raises(errors.JournalUnavailable):
        await store.put(WEB, b"newer")
    assert disk.synced == [(".", ["web.entry.new"])]
