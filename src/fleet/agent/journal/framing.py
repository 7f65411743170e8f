"""
How a file of the journal shows that it is whole. Pure.

    <what it is> <version> <SHA-256 of the second line>
    {…}

A version is for good: what an agent writes, the one before it has to read. What is
new goes where the one before doesn't look. docs/decisions/0013-files-for-the-journal.md.
"""

import hashlib
from typing import TypeVar

import msgspec

from fleet import errors
from fleet.contracts import messages

M = TypeVar("M", bound=messages.Message)


def encode(head: bytes, message: messages.Message) -> bytes:
    """Write *message* as the content of a file of the kind and version *head*."""
    body = msgspec.json.encode(message)
    return head + _digest(body) + b"\n" + body + b"\n"


def decode(head: bytes, data: bytes, kind: type[M]) -> M:
    """
    Read the content of a file that holds a message of *kind*.

    :raises errors.DamagedJournal: it isn't of that kind and version, or isn't whole.
    """
    first, _, rest = data.partition(b"\n")
    body = rest[:-1]
    if not first.startswith(head):
        raise errors.DamagedJournal("it isn't a journal of this format")
    if first != head + _digest(body) or rest[-1:] != b"\n":
        raise errors.DamagedJournal("its checksum is wrong")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise errors.DamagedJournal(str(exc)) from exc


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()
