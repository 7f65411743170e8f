"""`lab.proof.resuming`: what has passed on a tree isn't proven twice, and on another it is."""

import subprocess
from pathlib import Path

import pytest

from lab.proof import resuming
from lab.proof.results import Counts, Result
from lab.proof.resuming import Progress

PASSED = Result("e2e", 0, 61.5, counts=Counts(12, 0, 1, {"e2e.test_a": "one device"}))
FAILED = Result("e2e", 1, 3.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "build" / "full.json"


def test_what_passed_is_known_to_the_next_run_on_the_same_tree(path: Path):
    Progress(path, "tree-1").note(PASSED)

    assert Progress(path, "tree-1").passed() == {"e2e": PASSED}
    assert Progress(path, "tree-2").passed() == {}


def test_what_failed_has_to_be_proven_again(path: Path):
    progress = Progress(path, "tree-1")
    progress.note(PASSED)
    progress.note(FAILED)

    assert Progress(path, "tree-1").passed() == {}


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b'{"tree": 1}', b"\xff"])
def test_a_file_that_cannot_be_read_counts_for_nothing(junk: bytes, path: Path):
    path.parent.mkdir()
    path.write_bytes(junk)

    progress = Progress(path, "tree-1")

    assert progress.passed() == {}
    progress.note(PASSED)
    assert Progress(path, "tree-1").passed() == {"e2e": PASSED}


def test_a_tree_is_what_lies_there_committed_or_not_but_for_the_evidence(tmp_path: Path):
    git("init", at=tmp_path)
    (tmp_path / "code").write_text("one")
    (tmp_path / ".gitignore").write_text("build")
    first = resuming.tree(tmp_path)

    for name in ("build/junk", f"{resuming.EVIDENCE}/e2e.json"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("other")
    assert resuming.tree(tmp_path) == first
    assert not git("diff", "--cached", "--name-only", at=tmp_path), "the user's index is left alone"

    (tmp_path / "code").write_text("two")
    assert resuming.tree(tmp_path) not in {first, ""}


def git(*arguments: str, at: Path) -> str:
    return subprocess.run(
        ["git", "-C", str(at), *arguments], check=True, capture_output=True, text=True
    ).stdout
