"""Files on real machines: whole or not at all, and untouched when they are as wanted."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from fleet import errors
from fleet.scores.linux import files
from fleet.scores.linux.files import AbsentScore, DirectoryScore, FileScore, Kind, LinkScore
from fleet.scores.score import Change

HARD_NAMES = ["plain", "sp ace", "-dash", "new\nline", "quo'te", "gl*b[x]?", "ünïcode", "back\\sl"]


@pytest.fixture(params=HARD_NAMES, ids=repr)
def path(request, tmp_path):
    return str(tmp_path / request.param)


def _times(path):
    found = os.lstat(path)
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _unchanged(score, topology):
    return score.interpret(topology).expect().change is Change.UNCHANGED


def test_a_file_is_written_with_mode_and_owner_and_then_left_alone(topology, path, tmp_path):
    score = FileScore(path, b"secret \0 bytes\n", 0o640, "nobody", "games")
    assert score.interpret(topology).expect().change is Change.CHANGED
    found = files.look(topology.machine, path)[path]
    assert found == files.Found(Kind.FILE, 0o640, "nobody", "games", 15)
    assert files.read(topology.machine, path) == b"secret \0 bytes\n"
    before = _times(path)
    assert _unchanged(score, topology)
    assert _times(path) == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_link_is_swapped_and_then_left_alone(topology, path):
    for target in ("first", "-second target"):
        score = LinkScore(path, target)
        assert score.interpret(topology).expect().change is Change.CHANGED
        assert os.readlink(path) == target  # noqa: PTH115 - the very words
        before = _times(path)
        assert _unchanged(score, topology)
        assert _times(path) == before


def test_a_directory_is_made_and_then_left_alone(topology, path):
    score = DirectoryScore(f"{path}/below", 0o2750, "nobody", "games")
    assert score.interpret(topology).expect().change is Change.CHANGED
    before = _times(f"{path}/below")
    assert _unchanged(score, topology)
    assert _times(f"{path}/below") == before


def test_nothing_is_left_where_nothing_shall_be(topology, path):
    score = AbsentScore(path)
    assert _unchanged(score, topology)
    for make in (Path(path).mkdir, Path(path).touch, lambda: Path(path).symlink_to("/nowhere")):
        make()
        assert score.interpret(topology).expect().change is Change.CHANGED
        assert _unchanged(score, topology)


@pytest.mark.parametrize(
    "change",
    [{"content": b"other"}, {"mode": 0o600}, {"owner": "nobody"}, {"group": "games"}],
    ids=lambda change: next(iter(change)),
)
def test_what_differs_is_told_and_put_right(topology, tmp_path, change):
    score = FileScore(str(tmp_path / "file"), b"equal", 0o644)
    score.interpret(topology).expect()
    other = replace(score, **change)
    assert len(other.interpret(topology).expect().details) == 1
    assert _unchanged(other, topology)


def test_a_dry_run_touches_nothing(topology, tmp_path):
    score = FileScore(str(tmp_path / "file"), b"x")
    assert score.interpret(topology, dry_run=True).change is Change.CHANGED
    assert list(tmp_path.iterdir()) == []


def test_a_secret_is_in_no_message():
    score = FileScore("/no/such/directory/file", b"hush", 0o600)
    assert "hush" not in repr(score)


def test_a_link_is_replaced_and_what_it_led_to_stays(topology, tmp_path):
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "file").symlink_to(tmp_path / "theirs")
    FileScore(str(tmp_path / "file"), b"ours").interpret(topology).expect()
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert (tmp_path / "file").read_text() == "ours"


@pytest.mark.parametrize("score", [FileScore("", b"x"), LinkScore("", "x")], ids=["file", "link"])
def test_a_directory_in_the_way_is_never_touched(topology, tmp_path, score):
    (tmp_path / "there").mkdir()
    outcome = replace(score, path=str(tmp_path / "there")).interpret(topology)
    with pytest.raises(errors.NotOurs, match=r"is a directory, and a .* is wanted there; move it"):
        outcome.expect()


def test_a_file_in_the_way_of_a_directory_is_never_touched(topology, tmp_path):
    (tmp_path / "there").write_text("theirs")
    with pytest.raises(errors.NotOurs, match="is a file, and a directory is wanted"):
        DirectoryScore(str(tmp_path / "there")).interpret(topology).expect()


def test_a_directory_that_is_full_goes_only_when_that_is_said(topology, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    score = AbsentScore(str(tmp_path / "full"))
    with pytest.raises(errors.CommandFailed, match="not empty"):
        score.interpret(topology).expect()
    replace(score, with_contents=True).interpret(topology).expect()
    assert not (tmp_path / "full").exists()


def test_a_file_without_its_directory_says_so(topology, tmp_path):
    with pytest.raises(errors.CommandFailed, match="No such file or directory"):
        FileScore(str(tmp_path / "no" / "file"), b"x").interpret(topology).expect()


@pytest.mark.parametrize("path", ["relative", "-rf", "/", "/a/", "/a//b", "", "/a/./b"], ids=repr)
def test_a_path_that_could_mean_another_is_refused(topology, path):
    with pytest.raises(errors.InvalidConfig, match="not a plain absolute path"):
        AbsentScore(path).interpret(topology).expect()


def test_what_is_high_up_is_not_removed_with_all_in_it(topology):
    with pytest.raises(errors.InvalidConfig, match="too high up"):
        AbsentScore("/etc", with_contents=True).interpret(topology).expect()


def test_many_paths_are_looked_at_in_few_programs(topology, tmp_path):
    paths = [str(tmp_path / f"{number:05}-{'x' * 100}") for number in range(1500)]
    for path in paths[::2]:
        Path(path).touch()
    found = files.look(topology.machine, *paths)
    assert [path for path in paths if found[path]] == paths[::2]
    digests = files.digests(topology.machine, *paths)
    assert [path for path in paths if digests[path]] == paths[::2]


def test_nobody_else_can_read_a_secret_at_any_moment(topology, tmp_path):
    """Every state that the directory is in is looked at: after each program of the writing."""
    seen: list[tuple[str, int, int]] = []

    class Watched:
        name = "watched"
        libvirt = ""

        def ask(self, *argv, stdin=b"", within=60.0):
            answer = topology.machine.ask(*argv, stdin=stdin, within=within)
            seen.extend(
                (entry.name, entry.stat().st_mode & 0o077, entry.stat().st_size)
                for entry in tmp_path.iterdir()
            )
            return answer

    files.write(Watched(), str(tmp_path / "secret"), b"hush", mode=0o600)
    assert {size for _, _, size in seen} == {0, 4}
    assert [entry for entry in seen if entry[1]] == []
