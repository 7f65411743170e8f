"""What a page shows: bars in rows, on one axis of time. Decides only."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass

_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_MOST_TICKS = 12


class Mark(enum.StrEnum):
    """How a bar looks."""

    IDLE = "idle"
    """nothing had to be done"""
    DONE = "done"
    PASSED = "passed"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Bar:
    """
    Something that lasted from *begun* to *ended*, by the clock of day.

    The bar itself has room for little: *short* stands there, where *label* says more than it must.
    """

    label: str
    begun: float
    ended: float
    mark: Mark
    about: str = ""
    link: str = ""
    short: str = ""

    @property
    def seconds(self) -> float:
        """Return how long it lasted."""
        return max(0.0, self.ended - self.begun)


@dataclass(frozen=True, slots=True)
class Row:
    """Bars of one node, or of one worker."""

    label: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Rows beneath one heading."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """What failed, why, and what was last said: excerpts with their titles."""

    title: str
    why: str
    excerpts: tuple[tuple[str, str], ...] = ()
    about: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """All that one page tells."""

    title: str
    verdict: str
    failed: bool
    facts: tuple[tuple[str, str], ...]
    groups: tuple[Group, ...]
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class Axis:
    """Time from *begun* to *ended*, as percents of the width."""

    begun: float
    ended: float

    @classmethod
    def of(cls, groups: Iterable[Group]) -> "Axis":
        """Return the axis that all bars fit on."""
        bars = [bar for group in groups for row in group.rows for bar in row.bars]
        begun = min((bar.begun for bar in bars), default=0.0)
        return cls(begun, max((bar.ended for bar in bars), default=begun))

    @property
    def seconds(self) -> float:
        """Return how much time there is: never none."""
        return max(self.ended - self.begun, 0.001)

    def place(self, bar: Bar) -> tuple[float, float]:
        """Return where *bar* begins, and how wide it is."""
        return self._percent(bar.begun - self.begun), self._percent(bar.seconds)

    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Return where to write which time, at round distances."""
        fitting = (step for step in _STEPS if self.seconds / step <= _MOST_TICKS)
        step = next(fitting, self.seconds / _MOST_TICKS)
        count = int(self.seconds / step) + 1
        return tuple((self._percent(n * step), spoken(n * step)) for n in range(count))

    def _percent(self, seconds: float) -> float:
        return round(100 * seconds / self.seconds, 3)


def spoken(seconds: float) -> str:
    """Say how long something lasted: ``0.4 s``, ``42 s``, ``3 min 5 s``."""
    if seconds < 10:  # noqa: PLR2004 - one digit, so tenths tell something
        return f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"
