"""
The journal as agents of the first version read and write it: a copy that never changes.

What an agent writes, the one before it has to read: an upgrade may go back, out of the hub's reach.
"""

import hashlib
import os
from pathlib import Path

import msgspec

from fleet.contracts import messages

_MAGIC = b"fleet-journal 1 "


class Entry(messages.Message, frozen=True):
    """An entry of then."""

    device_id: str
    deployment: str
    is_withdrawn: bool = False
    desired: messages.ReconcileScore | None = None
    unreadable: str = ""
    kept: messages.ReconcileScore | None = None


class Damaged(Exception):
    """What an agent of then sets aside."""


def encode(entry: Entry) -> bytes:
    body = msgspec.json.encode(entry)
    return _MAGIC + _digest(body) + b"\n" + body + b"\n"


def decode(device_id: str, deployment: str, data: bytes) -> Entry:
    head, _, rest = data.partition(b"\n")
    body = rest[:-1]
    if not head.startswith(_MAGIC) or head != _MAGIC + _digest(body) or rest[-1:] != b"\n":
        raise Damaged
    entry = msgspec.json.decode(body, type=Entry)
    if (entry.device_id, entry.deployment) != (device_id, deployment):
        raise Damaged
    return entry


def read(device_id: str, directory: Path) -> dict[str, Entry]:
    """Start an agent of then: it reads the entries, and clears away what is half-written."""
    found = {}
    for path in sorted(directory.iterdir()):
        if path.name.endswith(".new"):
            path.unlink()
        elif path.name.endswith(".entry"):
            name = path.name.removesuffix(".entry")
            found[name] = decode(device_id, name, path.read_bytes())
    return found


def write(directory: Path, entry: Entry) -> None:
    """Write an entry as an agent of then does."""
    path = directory / f"{entry.deployment}.entry"
    new = path.with_name(path.name + ".new")
    new.write_bytes(encode(entry))
    os.replace(new, path)  # noqa: PTH105 - as it was


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()
