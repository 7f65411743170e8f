"""
From bytes at a key to an entry: what a reader of either bus sees.

Bytes that don't decode never raise: they become `Undecodable`, are counted, and
are logged once per key until that key decodes again (once more, where there are very
many such keys: who writes them must not fill this process's memory).
"""

from datetime import datetime
from typing import Final, Generic, TypeVar

import structlog

from fleet import errors
from fleet.bus.port import Deleted, Entry, Put, Undecodable
from fleet.contracts import bounds
from fleet.contracts.messages import Codec, Message

log = structlog.get_logger()
M = TypeVar("M", bound=Message)

MOST_LOGGED: Final = 4096


class Reader(Generic[M]):
    """Reads the entries of one bucket."""

    def __init__(self, codec: Codec[M]) -> None:
        self._codec = codec
        self._logged: set[str] = set()
        self.undecodable = 0

    def entry(self, key: str, data: bytes | None, *, revision: int, at: datetime) -> Entry[M]:
        """Read what stands at *key*; *data* is None for a delete marker."""
        try:
            if data is None:
                self._codec.check_key(key)
                return Deleted(key, revision, at)
            told = self._codec.decode(key, data)
        except errors.UndecodableValue as exc:
            self._count(key, str(exc))
            return Undecodable(key, revision, at, str(exc))
        self._logged.discard(key)
        value = self._codec.timed(told, at)
        return Put(key, value, revision, at, time_replaced=value is not told)

    def _count(self, key: str, error: str) -> None:
        self.undecodable += 1
        if key in self._logged:
            return
        if len(self._logged) >= MOST_LOGGED:
            self._logged.clear()
        self._logged.add(key)
        log.warning(
            "value undecodable", bucket=self._codec.bucket, key=bounds.shown(key), error=error
        )
