"""
Waits of the end-to-end tests: each looks with plain assertions, again and again.

A look is a function without arguments whose docstring names what is waited for. Whatever it raises
counts as "not yet", and the last of it is what the failure shows.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from lab import waiting

T = TypeVar("T")

EVERY = 0.3


def eventually(look: Callable[[], T], *, within: float, every: float = EVERY) -> T:
    """Look until nothing is raised any more, and return what the last look returned."""
    seen: list[T] = []

    def probe() -> str:
        seen.append(look())
        return ""

    waiting.wait_for(_name(look), probe, within=within, every=every)
    return seen[-1]


def steadily(look: Callable[[], object], *, lasting: float, every: float = EVERY) -> None:
    """Look again and again for as long as *lasting*: what is claimed must hold each time."""
    deadline = time.monotonic() + lasting
    while time.monotonic() < deadline:
        look()
        time.sleep(every)


def _name(look: Callable[[], object]) -> str:
    return (look.__doc__ or look.__name__).strip()
