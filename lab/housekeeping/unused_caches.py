"""
Finds what no lab needs. Looks only; `lab.housekeeping.removal` takes it away.

What a lab that is there uses (`cache_uses`), and what a lab of this checkout would use, is never
among it, however old.
"""

import contextlib
import enum
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fleet import directories
from lab.host import labs, processes
from lab.host.ledger import Kind as Made
from lab.host.ledger import Ledger
from lab.lifecycle import cache_uses
from lab.system import locks, trees
from lab.toolchain.provisioning import Toolchain
from lab.toolchain.store import Store

ROOT = Path(__file__).resolve().parents[2]
TRASH = ".removing-"
_DAY = 86400


class Kind(enum.StrEnum):
    """What a leftover is."""

    LOGS = "logs"
    ENVIRONMENT = "agent environment"
    IMAGES = "base images"
    TOOLCHAIN = "toolchain"
    TRASH = "half removed"
    LAB = "dead lab"


@dataclass(frozen=True, slots=True)
class Leftover:
    """One thing that no lab needs, how much room it takes, and how long it has been unused."""

    kind: Kind
    path: Path
    bytes: int
    days: float


def find(older_than: float, *, now: float | None = None) -> tuple[Leftover, ...]:
    """Return what hasn't been used for *older_than* days, and every dead lab."""
    moment = time.time() if now is None else now
    seen: set[int] = set()
    with locks.of_host():
        unneeded = (*_cached(), *_logs(), *_trash(), *_dead())
    found = []
    for kind, path in unneeded:
        days = max(0.0, (moment - _last_used(kind, path)) / _DAY)
        if days >= older_than or kind in {Kind.TRASH, Kind.LAB}:
            found.append(Leftover(kind, path, _size(path, seen), days))
    return tuple(found)


def is_unused(leftover: Leftover) -> bool:
    """Tell whether what is in the cache is still unused. Call this under the host's lock."""
    return (leftover.kind, leftover.path) in {*_cached(), *_trash()}


def is_dead(name: str) -> bool:
    """Tell whether something of lab *name* is there, but none of its processes."""
    entries = Ledger(labs.state_of(name) / "ledger.jsonl").of(Made.PROCESS)
    return labs.is_there(name) and not any(map(processes.identity_of, entries))


def _cached() -> Iterator[tuple[Kind, Path]]:
    cache, used = directories.cache_dir(), cache_uses.of_labs()
    kept = {*used.paths, *cache_uses.of_checkout(), *_toolchain(cache / "toolchain")}
    if not used.complete:
        return
    for kind, pattern in (
        (Kind.ENVIRONMENT, "envs/agent-*"),
        (Kind.IMAGES, "images/base-*"),
        (Kind.TOOLCHAIN, "toolchain/*-*"),
    ):
        for path in sorted(cache.glob(pattern)):
            if path.is_dir() and path not in kept and path.suffix != ".partial":
                yield kind, path


def _toolchain(directory: Path) -> Iterator[Path]:
    """Yield what the pins of this checkout name: the toolchain and its parts."""
    wanted = Toolchain(ROOT, Store(directory))
    yield from (directory / key for key in (wanted.key, *map(wanted.part_key, wanted.parts)))


def _logs() -> Iterator[tuple[Kind, Path]]:
    for logs in sorted((directories.cache_dir() / "labs").glob("*/logs")):
        if labs.is_name(logs.parent.name) and not labs.is_there(logs.parent.name):
            yield Kind.LOGS, logs.parent


def _trash() -> Iterator[tuple[Kind, Path]]:
    for path in sorted(directories.cache_dir().glob(f"*/{TRASH}*")):
        yield Kind.TRASH, path


def _dead() -> Iterator[tuple[Kind, Path]]:
    for name in labs.all_there():
        if is_dead(name):
            yield Kind.LAB, labs.state_of(name)


def _last_used(kind: Kind, path: Path) -> float:
    used = [0.0]
    for each in trees.beneath(path / "logs") if kind is Kind.LOGS else [path]:
        with contextlib.suppress(FileNotFoundError):  # it goes while we look
            used.append(each.stat().st_mtime)
    return max(used)


def _size(root: Path, seen: set[int]) -> int:
    """Return the room that *root* takes; what has several names counts once."""
    total = 0
    for path in trees.files(root):
        with contextlib.suppress(FileNotFoundError):  # it goes while we look
            about = path.lstat()
            total += 0 if about.st_ino in seen else about.st_blocks * 512
            seen.add(about.st_ino)
    return total
