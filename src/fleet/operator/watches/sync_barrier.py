"""
The barrier: nothing is written for or to a device before everything was listed once.

Absence is not an instruction. Until each part was listed completely in this
process, what is missing from the view may only not have been read yet.
"""

import asyncio
from enum import StrEnum

from fleet.contracts import kv


class Part(StrEnum):
    """What has to be listed."""

    DEPLOYMENTS = "deployments"
    DEVICES = "devices"
    DESIRED_STATE = kv.BUCKET_DESIRED_STATE
    DEVICE_INFO = kv.BUCKET_DEVICE_INFO
    DEVICE_STATE = kv.BUCKET_DEVICE_STATE


class SyncBarrier:
    """Opens for good once each part was listed."""

    def __init__(self) -> None:
        self._missing = set(Part)
        self._open = asyncio.Event()

    @property
    def missing(self) -> tuple[Part, ...]:
        """List what wasn't listed yet."""
        return tuple(sorted(self._missing))

    @property
    def is_open(self) -> bool:
        """Tell whether everything was listed."""
        return not self._missing

    def listed(self, part: Part) -> None:
        """Take note that *part* was listed completely."""
        self._missing.discard(part)
        if not self._missing:
            self._open.set()

    async def opened(self) -> None:
        """Wait until everything was listed."""
        await self._open.wait()
