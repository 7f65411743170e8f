"""
Takes away what no lab needs, safe beside a `lab.up` at any instant.

What lies in the cache is judged again and renamed under the host's lock, under which labs write
down what they use; a lab's logs under the lab's own. Only what nobody can reach is deleted.
"""

import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

from lab.errors import LabBusy, LabError
from lab.host import labs
from lab.housekeeping import unused_caches
from lab.housekeeping.unused_caches import Kind, Leftover
from lab.lifecycle import take_down
from lab.system import locks

_A_MOMENT = 0.2  # who holds a lab for longer uses it


def collect(found: Iterable[Leftover]) -> tuple[Leftover, ...]:
    """Take *found* away, and return what is gone: what is used again by now stays."""
    return tuple(filter(_take, found))


def _take(leftover: Leftover) -> bool:
    match leftover.kind:
        case Kind.LAB:
            return _take_down(leftover.path.name)
        case Kind.LOGS:
            return _remove_logs(leftover.path)
        case _:
            return _remove_unused(leftover)


def _take_down(name: str) -> bool:
    try:
        with labs.held(name, "lab.gc --all", within=_A_MOMENT, saw=lambda _: None):
            if not unused_caches.is_dead(name):
                return False
            for left in take_down.undo_all(labs.trace(name), lambda _: None):
                raise LabError(f"{left.entry.kind} {left.entry.name} remains: {left.error}")
    except LabBusy:
        return False
    return True


def _remove_logs(state: Path) -> bool:
    try:
        with labs.held(state.name, "lab.gc", within=_A_MOMENT, saw=lambda _: None):
            if labs.is_there(state.name):
                return False
            trash = _out_of_the_way(state)
            locks.discard(state)
    except LabBusy:
        return False
    shutil.rmtree(trash)
    return True


def _remove_unused(leftover: Leftover) -> bool:
    with locks.of_host():
        if not unused_caches.is_unused(leftover):
            return False
        trash = _out_of_the_way(leftover.path)
    shutil.rmtree(trash)
    return True


def _out_of_the_way(path: Path) -> Path:
    """Rename *path*, so that nobody finds it half removed."""
    if path.name.startswith(unused_caches.TRASH):
        return path
    return path.rename(path.with_name(f"{unused_caches.TRASH}{path.name}-{secrets.token_hex(3)}"))
