"""What a benchmark found: figures beside their baseline, as a table, as JSON, and in a file."""

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from rich.table import Table

REPORTS = Path("build")


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured, several times over. Its median, or ratio, is to stay within an aim."""

    name: str
    values: tuple[float, ...]
    unit: str = "s"
    baseline: str = ""
    aim: float | None = None
    ratio_aim: float | None = None

    @classmethod
    def of(
        cls,
        name: str,
        values: Iterable[float],
        *,
        unit: str = "s",
        baseline: str = "",
        aim: float | None = None,
        ratio_aim: float | None = None,
    ) -> Self:
        """Make a figure."""
        return cls(name, tuple(values), unit, baseline, aim, ratio_aim)

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def quantile(self, share: float) -> float:
        """Return the least value that *share* of all don't exceed."""
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True, slots=True)
class Results:
    """All figures of one run, and where and when it was."""

    name: str
    command: str
    figures: tuple[Figure, ...]
    machine: str
    load: float
    begun: str

    @classmethod
    def of(cls, name: str, command: str, figures: Sequence[Figure], load: float) -> Self:
        """Gather the figures of the benchmark *name*; *load* is what the machine bore before it."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(name, command, tuple(figures), _machine(), load, now)

    def ratio(self, figure: Figure) -> float | None:
        """Compare *figure* with its baseline."""
        found = {each.name: each for each in self.figures}.get(figure.baseline)
        return figure.median / found.median if found and found.median else None

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        figures = [
            {**asdict(f), "median": f.median, "p95": f.quantile(0.95), "ratio": self.ratio(f)}
            for f in self.figures
        ]
        return {**asdict(self), "figures": figures}

    def write(self) -> Path:
        """Write it beneath `build/`."""
        REPORTS.mkdir(exist_ok=True)
        path = REPORTS / f"bench-{self.name}.json"
        path.write_text(json.dumps(self.as_dict(), indent=2, ensure_ascii=False) + "\n")
        return path

    def table(self) -> Table:
        """Lay the figures out for people."""
        rows = Table(
            title=f"{self.command}: {self.machine}, load {self.load:.1f}", title_justify="left"
        )
        rows.add_column("", no_wrap=True)
        for heading in ("median", "p95", "least", "ratio", "aim"):
            rows.add_column(heading, justify="right", no_wrap=True)
        for figure in self.figures:
            rows.add_row(*self._row(figure))
        return rows

    def _row(self, figure: Figure) -> tuple[str, ...]:
        ratio = self.ratio(figure)
        numbers = (figure.median, figure.quantile(0.95), min(figure.values))
        return (
            figure.name,
            *(f"{number:.3g} {figure.unit}" for number in numbers),
            f"{ratio:.2f}" if ratio is not None else "",
            _judged(figure, ratio),
        )


def _judged(figure: Figure, ratio: float | None) -> str:
    if figure.aim is not None:
        return f"{figure.aim:g} {figure.unit} {_verdict(figure.median, figure.aim)}"
    if figure.ratio_aim is not None and ratio is not None:
        return f"{figure.ratio_aim:g} {_verdict(ratio, figure.ratio_aim)}"
    return ""


def _verdict(found: float, aim: float) -> str:
    return "ok" if found <= aim else "missed"


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = f"{platform.machine()}, Linux {platform.release()}"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {kernel}"
