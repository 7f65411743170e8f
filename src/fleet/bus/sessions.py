"""The sessions of a bus, one after the other: what both adapters tell of them."""

import asyncio


class Sessions:
    """The part of `port.Bus` about being connected. An adapter calls `_turn` when that changes."""

    def __init__(self) -> None:
        self._connected = False
        self._number = 0
        self._changed = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether there is a session now."""
        return self._connected

    @property
    def session(self) -> int:
        """The number of the last session: 0 before the first, 1, 2, …"""
        return self._number

    async def wait_for_session(self, after: int = 0) -> int:
        """Wait until a session later than *after* stands, and return its number."""
        while not (self._connected and self._number > after):
            await self._changed.wait()
        return self._number

    async def wait_for_change(self) -> bool:
        """Wait until the connection was made or lost; return whether it stands then."""
        await self._changed.wait()
        return self._connected

    def _turn(self, *, connected: bool) -> None:
        """Begin a session, or end the one that stands, and tell who waits."""
        self._connected = connected
        if connected:
            self._number += 1
        self._changed.set()
        self._changed = asyncio.Event()
