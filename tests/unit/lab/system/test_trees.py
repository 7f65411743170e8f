"""A walk through directories that go meanwhile finds what stays."""

import ast
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from lab.system import copying, trees

ROOT = Path(__file__).parents[4]
# They walk through a checkout, and through what they make themselves.
STEADY = ("lab/host/source_digests.py", "lab/devices/agent_bundle.py")


@pytest.fixture
def going(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of which one directory goes once it was listed, and before it is looked into."""
    for name in ("goes/inner", "stays"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("content")
    scandir = os.scandir

    def vanishing(path: Any) -> Any:
        if path == str(tmp_path / "goes"):
            shutil.rmtree(tmp_path / "goes")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", vanishing)
    return tmp_path


def test_what_goes_while_we_look_is_left_out(going: Path):
    assert list(trees.files(going)) == [going / "stays/file"]


def test_links_are_not_followed_and_nothing_is_in_what_is_not_there(tmp_path: Path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert set(trees.directories(tmp_path)) == {tmp_path, tmp_path / "a", tmp_path / "a/b"}
    assert list(trees.files(tmp_path)) == [tmp_path / "a/file"]
    inside = ("a", "a/b", "a/file", "link")
    assert set(trees.beneath(tmp_path)) == {tmp_path / name for name in inside}
    assert list(trees.directories(tmp_path / "nothing")) == []


def test_a_link_takes_no_more_room_than_itself(tmp_path: Path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there/file").write_bytes(b"x" * 2**20)
    (tmp_path / "link").symlink_to(tmp_path / "there")
    assert copying.allocated(tmp_path / "link") < 2**20


def test_the_room_that_a_tree_takes_is_that_of_what_stays(going: Path):
    assert copying.allocated(going) == sum(
        path.lstat().st_blocks * 512 for path in (going, going / "stays", going / "stays/file")
    )


def test_nobody_else_walks_through_directories_that_others_change():
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in sorted((ROOT / "lab").rglob("*.py"))
        if str(path.relative_to(ROOT)) not in STEADY
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and _is_deep(call)
    ]
    assert found == []


def _is_deep(call: ast.Call) -> bool:
    name = getattr(call.func, "attr", "")
    return name == "rglob" or (name == "glob" and "**" in ast.unparse(call))
