"""
Proves that the event loop turns: a task of the loop that beats, and tells how long ago.

What asks from outside (systemd's watchdog, the kubelet's probe) is answered by the beats. A loop
that is blocked doesn't beat, nor does one whose tasks are gone.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

EVERY_SECONDS: Final = 1.0


class Pulse:
    """Beats while its task runs. *on_beat* is called at each beat."""

    def __init__(
        self,
        now: Callable[[], float],
        on_beat: Iterable[Callable[[], None]] = (),
        *,
        every: float = EVERY_SECONDS,
    ) -> None:
        self._now = now
        self._on_beat = tuple(on_beat)
        self._every = every
        self._last = now()

    @property
    def age(self) -> float:
        """Give the seconds since the last beat that was due."""
        return max(0.0, self._now() - self._last - self._every)

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self._last = self._now()
            for beat in self._on_beat:
                beat()
            await asyncio.sleep(self._every)
