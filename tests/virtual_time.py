"""Run asyncio code in virtual time: waiting takes none, and waiting for nothing at all fails."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Deadlock(AssertionError):
    """Everybody waits, and no timer will ever wake anybody."""


class Livelock(AssertionError):
    """Somebody runs in circles, and time stands still."""


# More turns of the loop than any scenario needs at one instant.
_TURNS_AT_ONE_INSTANT = 100_000


class _Selector(selectors.SelectSelector):
    """Lets time pass instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            self._turns += 1
            if self._turns > _TURNS_AT_ONE_INSTANT:
                raise Livelock(f"still busy at {self.now:.3f} s")
            return ready
        if timeout is None:
            raise Deadlock("everybody waits, and nothing will ever happen")
        self._turns = 0
        self.now += max(0.0, timeout)
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        # Rounded up a little, or a timer that is due by a hair is waited for again and again.
        return self._clock.now + 1e-9


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run *scenario* to its end."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(scenario)
