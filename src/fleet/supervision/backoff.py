"""How long to wait after the n-th failure in a row. Pure, but for the jitter that is passed in."""

from collections.abc import Callable
from dataclasses import dataclass

Random = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that double from *first* up to *longest* seconds."""

    first: float = 1.0
    longest: float = 60.0
    jitter: float = 0.2

    def delay(self, failures: int, random: Random) -> float:
        """Give the delay after *failures* in a row; none of them, none. *random* is in [0, 1)."""
        if failures <= 0:
            return 0.0
        # Doubling stops at 2**16, before the float overflows.
        plain = min(self.longest, self.first * 2.0 ** min(failures - 1, 16))
        return plain * (1 - self.jitter + 2 * self.jitter * random())


RESTART = Backoff(first=0.5, longest=60.0)
