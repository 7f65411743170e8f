"""
Where the snapshots of a lab lie: ``$STATE/snapshots/NAME/``, and so as long as the lab itself.

    manifest.json   what it is: its key, when it was taken, the boots of its machines, sizes
    stores/NAME     what the services keep
    machines/ID     memory and disk of each machine
    journals/ID     what the agent of each host device remembers

A snapshot is taken in a draft beside its place. The manifest is written last, and the draft renamed
then: what has no manifest was never finished, and is refused. The one before stays until then.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from lab.errors import LabError, NothingThere, TopologyInvalid
from lab.host import files
from lab.snapshots.keys import Key
from lab.system import copying

DEFAULT = "default"
FORMAT = 1

_MANIFEST = "manifest.json"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a snapshot: the seconds that saving it took, and the bytes of disk it takes."""

    part: str
    seconds: float
    bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot is."""

    format: int
    name: str
    lab: str
    taken_at: datetime
    key: Key
    boots: Mapping[str, str]
    """by machine: the boot id of its guest"""
    parts: tuple[Part, ...]

    @property
    def bytes(self) -> int:
        """Return how much of the disk it takes."""
        return sum(part.bytes for part in self.parts)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the parts of one snapshot lie."""

    root: Path

    def store(self, name: str) -> Path:
        """Return where a store is kept."""
        return self.root / "stores" / name

    def machine(self, name: str) -> Path:
        """Return where a machine is kept."""
        return self.root / "machines" / name

    def journal(self, name: str) -> Path:
        """Return where the journal of a host device is kept."""
        return self.root / "journals" / name


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that is whole."""

    places: Places
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Archive:
    """The snapshots in the directory *home*."""

    home: Path

    def find(self, name: str) -> Snapshot:
        """
        Return the snapshot called *name*.

        :raises NothingThere: there is none, or one that was never finished.
        :raises LabError: its manifest can't be read, or is of another version of Fleet.
        """
        require_name(name)
        self._settle(name)
        place = self.home / name
        if (place / _MANIFEST).exists():
            return Snapshot(Places(place), _read(place / _MANIFEST))
        if place.exists() or self._draft(name).exists():
            message = f"snapshot {name} was never finished, so there is nothing to go back to"
            raise NothingThere(message, element=name, hint="take it again: invoke lab.snapshot")
        there = ", ".join(self.names()) or "none"
        hint = f"there are: {there}; invoke lab.snapshot takes one"
        raise NothingThere(f"there is no snapshot {name}", element=name, hint=hint)

    def names(self) -> tuple[str, ...]:
        """Return the names of the snapshots that are whole."""
        return tuple(sorted(path.parent.name for path in self.home.glob(f"[!.]*/{_MANIFEST}")))

    def begin(self, name: str) -> Places:
        """Return an empty place to take the snapshot *name* in."""
        require_name(name)
        self._settle(name)
        self.abandon(name)
        draft = self._draft(name)
        draft.mkdir(mode=0o700, parents=True)
        return Places(draft)

    def publish(self, manifest: Manifest) -> Snapshot:
        """Finish the snapshot that was begun; one of its name is replaced."""
        draft, place = self._draft(manifest.name), self.home / manifest.name
        content = msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode()
        files.write(draft / _MANIFEST, f"{content}\n", 0o600)
        if place.exists():
            place.rename(self._old(manifest.name))
        draft.rename(place)
        self._settle(manifest.name)
        return Snapshot(Places(place), manifest)

    def collect(self) -> None:
        """Remove all that was begun and never finished. Whoever calls this holds the lab."""
        for draft in self.home.glob(".*.new"):
            copying.remove(draft)

    def abandon(self, name: str) -> None:
        """Remove what was begun of the snapshot *name*."""
        copying.remove(self._draft(name))

    def _settle(self, name: str) -> None:
        """End what a killed `publish` began: the new one counts where it is there, else the old."""
        place, old = self.home / name, self._old(name)
        if old.exists() and not place.exists():
            old.rename(place)
        copying.remove(old)

    def _draft(self, name: str) -> Path:
        return self.home / f".{name}.new"

    def _old(self, name: str) -> Path:
        return self.home / f".{name}.old"


def require_name(name: str) -> None:
    """
    Refuse what is no name for a snapshot.

    :raises TopologyInvalid: says what a name is.
    """
    if _NAME.fullmatch(name) is None:
        message = f"{name!r} is no name for a snapshot: a-z, 0-9 and -, at most 32 characters"
        raise TopologyInvalid(message, element=name)


def _read(path: Path) -> Manifest:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as exc:
        hint = "take the snapshot again: invoke lab.snapshot"
        raise LabError(f"{path} can't be read: {exc}", element=str(path), hint=hint) from exc
    if found.format != FORMAT:
        message = f"{path} has format {found.format}; this version of Fleet reads {FORMAT}"
        raise LabError(message, element=str(path), hint="restore it with the Fleet that took it")
    return found
