"""
Waits of the tests that use a lab: each looks with plain assertions, again and again.

A look is a function without arguments whose docstring names what is waited for. Whatever it raises
counts as "not yet", and the last of it is what the failure shows. The loop is its own: what judges
Fleet from outside borrows nothing of it.
"""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

EVERY = 0.3


def eventually(look: Callable[[], T], *, within: float, every: float = EVERY) -> T:
    """Look until nothing is raised any more, and return what the last look returned."""
    deadline = time.monotonic() + within
    while True:
        try:
            return look()
        except Exception as exc:
            if time.monotonic() > deadline:
                seen = f"{type(exc).__name__}: {exc}"
                raise AssertionError(f"not within {within:g} s: {_name(look)}; {seen}") from exc
        time.sleep(every)


def steadily(look: Callable[[], object], *, lasting: float, every: float = EVERY) -> None:
    """Look again and again for as long as *lasting*: what is claimed must hold each time."""
    deadline = time.monotonic() + lasting
    while time.monotonic() < deadline:
        look()
        time.sleep(every)


def _name(look: Callable[[], object]) -> str:
    return (look.__doc__ or look.__name__).strip()
