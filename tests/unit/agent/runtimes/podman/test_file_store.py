"""`file_store`: files of containers, whole or not at all, and the agent's alone."""

import resource
import stat
from pathlib import Path

import pytest

from fleet import errors
from fleet.agent.runtimes.podman.file_store import FileStore
from fleet.contracts.container_fields import File

FILES = (File(path="/a", content="ä\n"), File(path="/b", content="", mode="0500"))


def names(root: Path) -> set[str]:
    return {each.name for each in root.iterdir()}


def test_files_are_written_in_order_with_their_modes(tmp_path: Path):
    store = FileStore(tmp_path / "files")
    name = store.write(FILES, element="a")
    first, second = (store.path(name, n) for n in range(2))
    assert first.read_bytes() == "ä\n".encode()
    assert second.read_bytes() == b""
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (first, second, first.parent)]
    assert modes == [0o444, 0o500, 0o700]
    assert stat.S_IMODE((tmp_path / "files").stat().st_mode) == 0o700
    assert name.isascii()  # a label


def test_no_two_containers_have_files_in_one_place(tmp_path: Path):
    store = FileStore(tmp_path)
    one, other = (store.write(FILES, element="a") for _ in range(2))
    store.remove(one)
    assert names(tmp_path) == {other}


def test_a_service_without_files_has_no_place(tmp_path: Path):
    store = FileStore(tmp_path / "files")
    assert store.write((), element="a") == ""
    store.remove("")
    assert names(tmp_path) == set()


def test_what_could_not_be_written_leaves_nothing_and_is_told(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(errors.FilesUnavailable, match="File exists; see to the disk") as told:
        FileStore(tmp_path / "file").write(FILES, element="a")
    assert told.value.element == "a"


def test_of_files_that_fit_in_part_only_none_is_left(tmp_path: Path):
    """As on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    large = File(path="/b", content="x" * 5000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(errors.FilesUnavailable, match="File too large"):
            FileStore(tmp_path).write((*FILES, large), element="a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path) == set()


def test_what_no_container_has_goes_and_what_is_being_made_stays(tmp_path: Path):
    before = FileStore(tmp_path)
    kept, left = (before.write(FILES, element="a") for _ in range(2))
    store = FileStore(tmp_path)
    made = store.write(FILES, element="a")
    store.sweep(lambda: {kept, ""})
    assert names(tmp_path) == {kept, made}
    assert left not in names(tmp_path)


def test_what_was_settled_goes_once_no_container_has_it(tmp_path: Path):
    store = FileStore(tmp_path)
    name = store.write(FILES, element="a")
    store.settled(name)
    store.sweep(lambda: {name})
    assert names(tmp_path) == {name}
    store.sweep(set)
    assert names(tmp_path) == set()


def test_a_container_that_is_made_amid_a_sweep_keeps_its_files(tmp_path: Path):
    """It was there before containers were listed, and not among them."""
    store = FileStore(tmp_path)
    written = [store.write(FILES, element="a")]

    def listing() -> set[str]:
        written.append(store.write(FILES, element="b"))
        for name in written:
            store.settled(name)
        return set()

    old = FileStore(tmp_path).write(FILES, element="a")
    store.sweep(listing)
    assert names(tmp_path) == set(written)
    assert old not in written


@pytest.mark.parametrize("name", ["..", ".", "/etc", "../other", "a/b"])
def test_a_label_of_somebody_else_removes_nothing(tmp_path: Path, name: str):
    root = tmp_path / "files"
    (root / "a" / "b").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    FileStore(root).remove(name)
    assert (root / "a" / "b").exists()
    assert (tmp_path / "other").exists()


def test_a_directory_that_is_not_there_is_swept_in_vain(tmp_path: Path):
    FileStore(tmp_path / "none").sweep(set)
