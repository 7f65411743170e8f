"""`lab.copying`: copies are as the original, and what is replaced is whole until its copy is."""

from pathlib import Path

import pytest

from lab.errors import LabError, PreflightFailed
from lab.system import copying

HOLE = 64 << 20


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "inside").mkdir(parents=True)
    (tree / "inside" / "secret").write_text("it")
    (tree / "inside" / "secret").chmod(0o600)
    with (tree / "sparse").open("wb") as file:
        file.truncate(HOLE)
    return tree


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_copy_keeps_contents_modes_and_holes(tree: Path, tmp_path: Path):
    copying.copy(tree, tmp_path / "some" / "copy")
    copied = tmp_path / "some" / "copy"
    assert (copied / "inside" / "secret").read_text() == "it"
    assert (copied / "inside" / "secret").stat().st_mode & 0o777 == 0o600
    assert (copied / "sparse").stat().st_size == HOLE
    assert copying.allocated(copied) < HOLE // 2


def test_a_directory_is_replaced_by_a_copy(tree: Path, tmp_path: Path):
    target = tmp_path / "target"
    target.mkdir()
    (target / "newer").write_text("gone afterwards")
    copying.replace(tree, target)
    assert names(target) == ["inside", "sparse"]
    assert names(tmp_path) == ["target", "tree"]
    assert (tree / "inside" / "secret").exists()


def test_what_is_gone_already_is_replaced_too(tree: Path, tmp_path: Path):
    copying.replace(tree, tmp_path / "target")
    assert (tmp_path / "target" / "inside").is_dir()


def test_a_copy_that_fails_leaves_the_target_as_it_was(tmp_path: Path):
    target = tmp_path / "target"
    target.write_text("as it was")
    with pytest.raises(LabError, match="cp"):
        copying.replace(tmp_path / "nothing", target)
    assert target.read_text() == "as it was"


def test_what_a_killed_replacement_left_is_in_nobodys_way(tree: Path, tmp_path: Path):
    (tmp_path / ".target.new").mkdir()
    (tmp_path / ".target.old").write_text("left over")
    copying.replace(tree, tmp_path / "target")
    assert names(tmp_path) == ["target", "tree"]


def test_nothing_takes_no_room(tmp_path: Path):
    assert copying.allocated(tmp_path / "nothing") == 0


def test_too_little_room_is_refused_with_both_figures(tmp_path: Path):
    copying.require_room(tmp_path, [10 << 20], "it", room=lambda _: 266 << 20)
    with pytest.raises(PreflightFailed, match=r"it needs 266 MiB .*, 265 MiB are free") as told:
        copying.require_room(tmp_path, [10 << 20], "it", room=lambda _: 265 << 20)
    assert told.value.exit_code == 3
