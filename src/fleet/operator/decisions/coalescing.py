"""Changes that nobody waits for: handed over a while after the first of them, a few at a time."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Generic, TypeVar

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Coalescing:
    """
    How changes are handed over.

    *settle*: seconds from a key's first change on. *portion*: the most keys of one look, but for a
    crowd, of which it is one in *share*. *beside*: the most while others wait for work.
    """

    settle: float
    portion: int
    share: int = 60
    beside: int = 2


class CoalescedKeys(Generic[K]):
    """The keys that changed, each once, in the order of their first change."""

    def __init__(self, coalescing: Coalescing) -> None:
        self._coalescing = coalescing
        self._since: dict[K, float] = {}

    def __len__(self) -> int:
        return len(self._since)

    def add(self, keys: Iterable[K], now: float) -> None:
        """Take note that *keys* changed."""
        for key in keys:
            self._since.setdefault(key, now)

    def take(self, now: float, *, is_busy: bool) -> tuple[K, ...]:
        """Hand over what has settled by *now*, a portion of it: it costs no more than that."""
        settled = takewhile(
            lambda key: now - self._since[key] >= self._coalescing.settle, self._since
        )
        crowd = math.ceil(len(self._since) / self._coalescing.share)
        calm = max(self._coalescing.portion, crowd)
        most = self._coalescing.beside if is_busy else calm
        taken = tuple(islice(settled, most))
        for key in taken:
            del self._since[key]
        return taken
