"""
Writes over whatever stands at a key, so that none is stored after a later one.

A write that was given up may be stored all the same, once its server gets to it. Where that server
was frozen, and the bus has gone on with another one, that is after later writes were accepted. So
each write names the revision that it expects to stand there, also where its caller doesn't mind
which it is: the server refuses it once something else was stored.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from fleet import errors

_IN_FLIGHT_SECONDS: Final = 0.05


class Overwriting:
    """Remembers what stands at the keys that were written over."""

    def __init__(self, patience: timedelta) -> None:
        self._patience = patience.total_seconds()
        self._standing: dict[str, int] = {}

    async def write(self, key: str, write: Callable[[int], Awaitable[int]]) -> int:
        """
        Call *write* with the revision that stands at *key*, and return the one that it made.

        *write* itself takes no longer than the patience.

        :raises errors.BusUnavailable: no answer, or others kept writing to it, for too long.
        """
        since = asyncio.get_running_loop().time()
        try:
            return await self._try(key, write)
        except errors.RevisionConflict as exc:
            conflict = exc
        try:
            async with asyncio.timeout_at(since + self._patience):
                return await self._try_again(key, write, conflict)
        except TimeoutError as exc:
            raise errors.BusUnavailable(
                f"{key}: not written within {self._patience:g} s", element=key
            ) from exc

    async def _try_again(
        self, key: str, write: Callable[[int], Awaitable[int]], conflict: errors.RevisionConflict
    ) -> int:
        while True:
            if conflict.found is None:  # another write of it is on its way through the cluster
                await asyncio.sleep(_IN_FLIGHT_SECONDS)
            try:
                return await self._try(key, write)
            except errors.RevisionConflict as exc:
                conflict = exc

    async def _try(self, key: str, write: Callable[[int], Awaitable[int]]) -> int:
        """Write once; where something else stands there, remember what."""
        try:
            revision = await write(self._standing.get(key, 0))
        except errors.RevisionConflict as exc:
            if exc.found is not None:
                self._standing[key] = exc.found
            raise
        self._standing[key] = revision
        return revision
