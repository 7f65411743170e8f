"""
The server's time, estimated between two looks at the server's clock.

Liveness is judged by the clock that stamped the heartbeats. The device's and
the operator's own may be wrong by years.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Something that tells the time."""

    def now(self) -> datetime:
        """Tell the time, UTC."""


class ServerClock:
    """Counts on from the last time that the server told; before that, from this machine's."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._told = datetime.now(UTC)
        self._at = monotonic()

    def tell(self, server_time: datetime) -> None:
        """Take note of what the server's clock says now."""
        self._told = server_time
        self._at = self._monotonic()

    def now(self) -> datetime:
        """Tell the server's time, UTC."""
        return self._told + timedelta(seconds=self._monotonic() - self._at)


class WallClock:
    """This machine's own clock."""

    def now(self) -> datetime:
        """Tell the time, UTC."""
        return datetime.now(UTC)
