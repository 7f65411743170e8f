"""Waits that have a name, and say what they last saw when they give up."""

import time
from collections.abc import Callable

from fleet import errors

EVERY = 0.1


def until(
    what: str,
    missing: Callable[[], str],
    *,
    within: float,
    every: float = EVERY,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """
    Wait until nothing is *missing* any more: it returns what it waits for, or an empty string.

    A retryable error counts as missing; a permanent one ends the wait at once.

    :raises errors.NotReady: *within* seconds have passed; says *what*, and what was missing last.
    """
    deadline = clock() + within
    while last := _look(missing):
        if clock() >= deadline:
            raise errors.NotReady(f"{what} within {within:g} s: {last}", element=what)
        sleep(every)


def _look(missing: Callable[[], str]) -> str:
    try:
        return missing()
    except errors.RetryableError as exc:
        return str(exc) or exc.reason
