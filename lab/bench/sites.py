"""
Where the control planes of benchmarks lie: a directory for each, held while its benchmark lives.

The lock is taken before the directory is made, and given back when that is gone. So a directory
whose lock nobody holds is that of a benchmark that was killed, and what its ledger names is ended:
by pid and start time, never by a name. One that has no lock is somebody else's.
"""

import contextlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from lab.errors import LabBusy, LabError
from lab.host import ledger, processes
from lab.host.ledger import Kind, Ledger
from lab.system import locks

PREFIX: Final = "fleet-bench-"
_LOOK_WITHIN: Final = 10.0  # whoever looks for dead ones may hold a lock that has no directory yet


@contextlib.contextmanager
def directory(above: Path | None = None) -> Iterator[Path]:
    """Have a directory for a control plane; ends what its ledger names, and it, with the block."""
    path = (above or _above()) / f"{PREFIX}{secrets.token_hex(8)}"
    with locks.held(path, {}, within=_LOOK_WITHIN, busy=lambda: LabBusy(f"{path} is taken")):
        path.mkdir(mode=0o700)
        try:
            yield path
        finally:
            _end(path)


def end_dead(
    say: Callable[[str], None], above: Path | None = None, *, dry_run: bool = False
) -> None:
    """End what benchmarks of ours left that were killed. What can't be ended is told, and stays."""
    for file in sorted((above or _above()).glob(f"{PREFIX}*{locks.SUFFIX}")):
        path = file.with_name(file.name.removesuffix(locks.SUFFIX))
        if _is_ours(file, stat.S_ISREG) and (lock := locks.take(path)) is not None:
            with lock:
                _end_dead(path, say, dry_run=dry_run)


def _end_dead(path: Path, say: Callable[[str], None], *, dry_run: bool) -> None:
    if os.path.lexists(path):
        if not _is_ours(path, stat.S_ISDIR):
            return
        say(f"a benchmark that was killed left its control plane: {path}")
    if dry_run:
        return
    try:
        _end(path)
    except LabError as exc:
        say(str(exc))


def _end(path: Path) -> None:
    """End what the ledger in *path* names, and remove *path* with its lock, which is held."""
    left = ledger.undo(Ledger(path / "ledger.jsonl"), {Kind.PROCESS: processes.stop})
    if left:
        told = "; ".join(f"{each.entry.name}: {each.error}" for each in left)
        raise LabError(f"{path} remains: {told}", element=str(path))
    if path.exists():
        shutil.rmtree(path)
    locks.discard(path)


def _is_ours(path: Path, is_kind: Callable[[int], bool]) -> bool:
    """Tell whether it is this user's: what another one writes there ends none of our processes."""
    try:
        about = path.lstat()
    except FileNotFoundError:
        return False
    return is_kind(about.st_mode) and about.st_uid == os.geteuid()


def _above() -> Path:
    return Path(tempfile.gettempdir())
