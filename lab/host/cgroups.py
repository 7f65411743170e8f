"""
The cgroups that podman makes on the host, always under ``libpod_parent`` of each hierarchy.

Containers' own cgroups go with the containers; their parents podman never removes, so we do.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fleet.scores.score import Score
from lab.host.lab_host import LabHost
from lab.host.ledger import Entry, Kind, Ledger
from lab.system import trees

_ROOT = Path("/sys/fs/cgroup")
_PARENT = "libpod_parent"


@dataclass(frozen=True)
class CgroupsScore(Score[LabHost]):
    """The ledger knows which of podman's parent cgroups were there before this lab, and others."""

    @property
    def name(self) -> str:
        return "cgroups"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        known = topology.ledger.find(Kind.CGROUP, _PARENT)
        return () if known else ("they were never looked at",)

    def bring_about(self, topology: LabHost) -> None:
        before = known_before(topology.ledger.path)
        if before is None:
            before = [str(path) for path in _parents()]
        topology.ledger.intend(Kind.CGROUP, _PARENT, before=before)


def known_before(ours: Path) -> list[str] | None:
    """Return what was there before the other labs, if there are any: what came since is labs'."""
    for book in ours.parent.parent.glob(f"*/{ours.name}"):
        if book != ours and (entry := Ledger(book).find(Kind.CGROUP, _PARENT)):
            return list(entry.facts["before"])
    return None


def undo(entry: Entry) -> None:
    """Remove podman's parent cgroups, where they weren't there before and nobody uses them."""
    for path in _parents():
        if str(path) not in entry.facts["before"] and not any(_users(path)):
            remove(path)


def remove(path: Path) -> None:
    """Remove a cgroup and the empty ones beneath it; content when it is gone or in use."""
    for below in sorted(trees.directories(path), reverse=True):
        with contextlib.suppress(OSError):
            below.rmdir()


def _parents() -> tuple[Path, ...]:
    return tuple(sorted((*_ROOT.glob(_PARENT), *_ROOT.glob(f"*/{_PARENT}"))))


def _users(path: Path) -> Iterator[str]:
    for below in trees.directories(path):
        with contextlib.suppress(OSError):  # it goes while we look: then nobody uses it
            yield from (below / "cgroup.procs").read_text().split()


def of_container(container: str) -> Iterator[Path]:
    """Yield the cgroups of a container, and of its monitor, by the container's full id."""
    for parent in _parents():
        with contextlib.suppress(FileNotFoundError):  # another lab removes it
            yield from parent.glob(f"libpod-*{container}")
