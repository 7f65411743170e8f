"""
Which keys under a device's id nobody has a use for, and how they are purged.

A device may write any key with one token after its id, and so more of them than a bucket
has room for. A key that is none of its bucket's is junk; so is the state of a deployment that
nobody wants there, beyond as many as any device has. Purging it withdraws nothing: what a
device runs is decided by `desired-state` alone, and an agent puts its states again.
"""

from typing import Final, NamedTuple

from fleet.contracts import kv

# At most this many states of one device are kept; with those that are wanted of it, always.
MOST_STATES: Final = 256

_WILDCARDS: Final = {"*", ">"}


class JunkKey(NamedTuple):
    """One key, as it stands at *revision*."""

    bucket: str
    key: str
    revision: int


def purge_filter(junk: JunkKey) -> str | None:
    """
    Say what to purge, up to the revision of *junk*; None where it isn't under a device's id.

    A key that can't be named alone (it looks like a wildcard, or has bytes that are no text)
    goes with all else that stands under that id in the bucket.
    """
    device = kv.writer(junk.bucket, junk.key)
    if device is None:
        return None
    tokens = junk.key.split(".")
    if junk.key.isascii() and junk.key.isprintable() and not _WILDCARDS.intersection(tokens):
        return junk.key
    return kv.all_keys_filter(junk.bucket, device)
