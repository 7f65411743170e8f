"""
Mutates a module in a copy of the tree, by mutmut, and reads how its tests took that.

What ended is kept in `build/mutants`, with a digest of the module and of its tests: the same
command goes on where it was interrupted, and measures again what has changed. mutmut ends each
mutant's tests in time. The tree itself is read only.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from lab.errors import LabError
from lab.proof import evidence, mutants
from lab.proof.mutants import Module, Mutant, Outcome

DIRECTORY: Final = Path("build/mutants")
_PARTS: Final = ("src", "lab", "tests")  # what the tests import
_NONE: Final = "none"  # matches no mutant: all are made, and none is tried
_EXCERPT: Final = 3000


class MutationFailed(LabError):
    """A module could not be mutated, e.g. since its own tests fail."""

    reason = "MutationFailed"


def measure(
    module: Module, *, count: int, seed: int, tell: Callable[[str], None] = lambda _: None
) -> Outcome:
    """
    Try the mutants of *module*, or *count* of them by *seed*; what was measured isn't again.

    *tell* is told mutmut's own progress.

    :raises MutationFailed: mutmut, or the tests of the module as it is, failed.
    """
    slug = module.name.replace("/", ".")
    place, kept = DIRECTORY / slug, DIRECTORY / f"{slug}.json"
    digest = _digest(module, count, seed)
    if (found := _kept(kept, digest)) is not None:
        return found
    of = evidence.commit()
    _prepare(place, module, digest)
    found = _measured(place, module, of, count=count, seed=seed, tell=tell)
    kept.write_text(found.to_json())
    kept.with_suffix(".digest").write_text(digest)
    kept.with_suffix(".diff").write_text("\n".join(each.diff for each in found.missed))
    shutil.rmtree(place)
    return found


def _kept(path: Path, digest: str) -> Outcome | None:
    stamp = path.with_suffix(".digest")
    if not path.exists() or not stamp.exists() or stamp.read_text() != digest:
        return None
    return Outcome.from_json(path.read_text())


def _digest(module: Module, count: int, seed: int) -> str:
    found = hashlib.sha256(f"{count} {seed if count else 0}".encode())
    for path in ("requirements/dev.txt", module.source, *module.tests):
        found.update(Path(path).read_bytes())
    return found.hexdigest()


def _prepare(place: Path, module: Module, digest: str) -> None:
    """Make a copy of the tree, unless one of the same is there already, begun."""
    stamp = place / "digest"
    if stamp.exists() and stamp.read_text() == digest:
        return
    shutil.rmtree(place, ignore_errors=True)
    for part in _PARTS:
        shutil.copytree(part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
    project = Path("pyproject.toml").read_text() + mutants.configuration(module)
    (place / "pyproject.toml").write_text(project)
    stamp.write_text(digest)


def _measured(
    place: Path, module: Module, of: str, *, count: int, seed: int, tell: Callable[[str], None]
) -> Outcome:
    statuses = _statuses(place)
    if not statuses:
        said = _mutmut(place, ["run", _NONE], tell)
        statuses = _statuses(place)
        if not statuses and "no tests" in said:
            raise MutationFailed(f"{module.name}: {said}", element=module.name)
    chosen = mutants.sample(statuses, count, seed)
    left = [name for name in chosen if statuses[name] == "not checked"]
    if left:
        said = _mutmut(place, ["run", "--max-children", "1", *left], tell)
        statuses = _statuses(place)
        if any(statuses[name] == "not checked" for name in left):
            raise MutationFailed(f"{module.name}: {said}", element=module.name)
    survivors = [name for name in chosen if statuses[name] in mutants.SURVIVED]
    return mutants.outcome(
        module,
        of,
        len(statuses),
        [statuses[name] for name in chosen],
        _described(place, survivors),
    )


def _described(place: Path, names: Sequence[str]) -> Iterator[Mutant]:
    for name in names:
        shown = subprocess.run(
            _command("show", name), cwd=place, check=True, capture_output=True, text=True
        )
        yield mutants.mutant(name, shown.stdout)


def _statuses(place: Path) -> Mapping[str, str]:
    """Read what mutmut knows of each mutant."""
    if not (place / "mutants").exists():
        return {}
    said = subprocess.run(
        _command("results", "--all", "true"),
        cwd=place,
        check=False,
        capture_output=True,
        text=True,
    )
    lines = (line.strip().rpartition(": ") for line in said.stdout.splitlines())
    return {name: status for name, _, status in lines if "__mutmut_" in name}


def _mutmut(place: Path, arguments: Sequence[str], tell: Callable[[str], None]) -> str:
    """
    Run mutmut to its end, and return the last of what it said.

    It has a process group of its own: whoever interrupts us ends it with all that it began, and it
    has noted each mutant by then that it was done with.
    """
    said = ""
    with subprocess.Popen(
        _command(*arguments),
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as running:
        assert running.stdout is not None  # noqa: S101 - it is a pipe
        try:
            for line in running.stdout:  # universal newlines: also a carriage return ends one
                said = (said + line)[-_EXCERPT:]
                tell(line.strip())
        except BaseException:
            os.killpg(running.pid, signal.SIGKILL)
            raise
    return said


def _command(*arguments: str) -> tuple[str, ...]:
    """Name mutmut of this environment; what else runs on this host goes first."""
    return ("nice", "-n", "10", sys.executable, "-m", "mutmut", *arguments)
