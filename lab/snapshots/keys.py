"""
What a snapshot fits: the images, the topology and the QEMU that it was taken with. Decides only.

Memory that one QEMU saved means nothing to another, and a disk is nothing without the image that it
stands on. So all three must be the same, or nothing is restored.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping

import msgspec

from lab.errors import SnapshotMismatch

_NOTHING = "nothing"


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What a lab is made of, each aspect by what it is made of in turn, in words with digests."""

    image: Mapping[str, str]
    """by machine: the digest of the image that its disk stands on"""
    topology: Mapping[str, str]
    """by device: the digest of all that the topology says of it"""
    qemu: Mapping[str, str]
    """by program: its version, its digest and the accelerator"""

    @property
    def digest(self) -> str:
        """Return what stands for all of it."""
        text = json.dumps(msgspec.to_builtins(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


_WAYS_OUT = {
    "image": "invoke images.pull has the images of the catalogue as it is now",
    "topology": "give the topology back what it had",
    "qemu": "put the QEMU back that took it",
}


def require_same(name: str, taken: Key, here: Key) -> None:
    """
    Refuse the snapshot *name*, which has the key *taken*, where the lab *here* has another.

    :raises SnapshotMismatch: says in which aspects, what the snapshot has, and what is here.
    """
    other = {aspect: found for aspect in _WAYS_OUT if (found := _differences(aspect, taken, here))}
    if not other:
        return
    lines = [f"{aspect}: {line}" for aspect, found in other.items() for line in found]
    told = "\n  ".join((f"snapshot {name} is of another {' and '.join(other)}:", *lines))
    ways = "; ".join(_WAYS_OUT[aspect] for aspect in other)
    raise SnapshotMismatch(
        f"{told}\nnothing was touched",
        element=name,
        hint=f"{ways}; or take another: invoke lab.up, then lab.snapshot",
    )


def _differences(aspect: str, taken: Key, here: Key) -> tuple[str, ...]:
    return tuple(_compared(getattr(taken, aspect), getattr(here, aspect)))


def _compared(taken: Mapping[str, str], here: Mapping[str, str]) -> Iterator[str]:
    for part in sorted({*taken, *here}):
        had, has = taken.get(part, _NOTHING), here.get(part, _NOTHING)
        if had != has:
            yield f"{part}: the snapshot has {had}, here is {has}"
