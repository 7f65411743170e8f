"""
What each lab stands on in the cache: the agents' environment, base images, the toolchain.

A lab writes it down under the host's lock, before it looks whether the thing is there; who collects
what is unused looks, and takes it away, under the same lock. So nothing vanishes in between.
"""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.devices import agent_environment
from lab.host import labs
from lab.host.lab_host import LabHost, read_json, write_json
from lab.images import shared_store
from lab.system import locks

_BOOK = "uses.json"
_OF_THE_TOOLCHAIN = "etcd"


@dataclass(frozen=True, slots=True)
class Uses:
    """What labs use. Not *complete*: a lab stands that never wrote it down, so all may be used."""

    paths: frozenset[Path]
    complete: bool


def of_checkout(host: LabHost | None = None) -> tuple[Path, ...]:
    """Return what a lab of this checkout stands on; where *host* has begun with more, that too."""
    store = shared_store.store_of(host) if host else shared_store.store()
    program = shutil.which(_OF_THE_TOOLCHAIN)
    toolchain = [Path(program).resolve().parents[1]] if program else []
    return (agent_environment.environment(), store.parent, *toolchain)


def begin(host: LabHost, paths: Iterable[Path]) -> None:
    """Write down that the lab is about to use *paths*, beside what it used before."""
    _write(host, {*read_json(host.state / _BOOK).get("paths", ()), *map(str, paths)})


def settle(host: LabHost, paths: Iterable[Path]) -> None:
    """Write down that the lab uses *paths*, and nothing else any more."""
    _write(host, set(map(str, paths)))


def of_labs() -> Uses:
    """Return what the labs use that are there. Call this under the host's lock."""
    books = [read_json(labs.state_of(name) / _BOOK) for name in labs.all_there()]
    paths = (Path(path) for book in books for path in book.get("paths", ()))
    return Uses(frozenset(paths), complete=all(books))


def _write(host: LabHost, paths: set[str]) -> None:
    with locks.of_host():
        write_json(host.state / _BOOK, {"paths": sorted(paths)})
        for path in filter(os.path.exists, paths):
            os.utime(path)  # when it was last used
