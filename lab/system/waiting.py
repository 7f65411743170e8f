"""
Waits that have a name, a budget, and say what they last saw.

A `Probe` looks once and says what is missing: ``""`` means ready. Whatever it raises counts as
"not yet", and is the last thing seen. The loop itself is `fleet.scores.waiting`'s.
"""

import time
from collections.abc import Callable
from typing import TypeAlias

from fleet import errors
from fleet.scores import waiting
from lab.errors import WaitTimedOut

Probe: TypeAlias = Callable[[], str]


def look(probe: Probe) -> str:
    """Return what *probe* finds missing; an exception is something missing too."""
    try:
        return probe()
    except Exception as exc:
        return f"{type(exc).__name__}: {exc}"


def wait_for(
    what: str,
    probe: Probe,
    *,
    within: float,
    every: float = 0.1,
    saw: Callable[[str], None] = lambda _: None,
    check: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """
    Look with *probe* until nothing is missing, or raise `WaitTimedOut` with the last state seen.

    *check* runs before every look, and raises when waiting has become pointless (the process died).
    *saw* is told whenever what is missing changes.
    """
    last = ""

    def missing() -> str:
        nonlocal last
        check()
        found = look(probe)
        if found and found != last:
            saw(found)
        last = found or last
        return found

    try:
        waiting.until(what, missing, within=within, every=every, clock=clock, sleep=sleep)
    except errors.NotReady as exc:
        message = f"{what}: not within {within:g} s; last seen: {last}"
        raise WaitTimedOut(message, element=what) from exc
