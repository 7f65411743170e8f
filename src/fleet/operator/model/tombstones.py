"""The uids of objects that are gone for good: a uid is never given twice."""

from typing import Final

LIMIT: Final = 10_000  # of the latest; an event isn't late by as many deletions


class Tombstones:
    """The latest uids whose objects are gone; the oldest are forgotten."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._uids: dict[str, None] = {}

    def __contains__(self, uid: str) -> bool:
        return uid in self._uids

    def bury(self, uid: str) -> None:
        """Take note that an object is gone."""
        self._uids[uid] = None
        if len(self._uids) > self._limit:
            del self._uids[next(iter(self._uids))]

    def exhume(self, uid: str) -> None:
        """Take note that an object is there all the same, as after a restore from a backup."""
        self._uids.pop(uid, None)
