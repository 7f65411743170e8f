"""
Remembers which suites have passed on a tree, so that a proof of hours goes on where it was ended.

A suite that passed is passed over only on the very same tree: whatever git would commit, but for
the evidence that the proof itself writes.
"""

import os
import tempfile
from pathlib import Path

import msgspec

from lab.proof.results import Result
from lab.system import commands

EVIDENCE = "docs/evidence"


class _Record(msgspec.Struct):
    tree: str
    passed: list[Result] = []


class Progress:
    """
    What has passed on *tree*, kept in the file *path*.

    A file of another tree, or one that can't be read, counts as none: at worst work is repeated.
    """

    def __init__(self, path: Path, tree: str) -> None:
        self._path = path
        self._record = _read(path, tree)

    def passed(self) -> dict[str, Result]:
        """Return the results of the suites that passed, by name."""
        return {result.name: result for result in self._record.passed}

    def note(self, result: Result) -> None:
        """Write down that a suite has ended."""
        others = [each for each in self._record.passed if each.name != result.name]
        self._record.passed = [*others, result] if result.passed else others
        self._path.parent.mkdir(exist_ok=True)
        partial = self._path.with_suffix(".part")
        partial.write_bytes(msgspec.json.encode(self._record))
        partial.replace(self._path)


def tree(root: Path) -> str:
    """Return the git object id of what lies in the work tree *root*, whether committed or not."""
    with tempfile.TemporaryDirectory() as scratch:
        env = {**os.environ, "GIT_INDEX_FILE": str(Path(scratch, "index"))}
        git = ("git", "-C", str(root))
        commands.run(*git, "add", "--all", "--", ".", f":!{EVIDENCE}", env=env)
        return commands.run(*git, "write-tree", env=env).strip()


def _read(path: Path, tree: str) -> _Record:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Record)
    except (OSError, msgspec.MsgspecError):
        return _Record(tree)
    return found if found.tree == tree else _Record(tree)
