"""
Names every check and suite, and the command that runs it. Decides only.

A *check* needs nothing but the Python environment and is quiet unless it
fails; a *suite* needs the lab's parts and shows its output as it comes.
"""

from dataclasses import dataclass
from pathlib import Path

REPORTS = Path("build")


@dataclass(frozen=True, slots=True)
class Suite:
    """One thing to run. *report* is the JUnit file that it writes, if it runs tests."""

    name: str
    command: tuple[str, ...]
    report: Path | None = None
    shows_output: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """What was asked for on the command line: suites by name, and pytest's `-k`."""

    only: tuple[str, ...] = ()
    keyword: str = ""

    def wants(self, suite: Suite) -> bool:
        return not self.only or suite.name in self.only


def checks() -> tuple[Suite, ...]:
    """List the checks, the slowest first: they run side by side."""
    return (
        Suite("types", ("mypy",)),
        _pytest("unit", ("-n", "auto"), quiet=True),
        Suite("spelling", ("codespell",)),
        Suite("layers", ("lint-imports",)),
        Suite("literals", ("python", "-m", "lab.proof.literals")),
        Suite("format", ("ruff", "format", "--check")),
        Suite("lint", ("ruff", "check")),
    )


def suites(keyword: str = "") -> tuple[Suite, ...]:
    """List what runs on real parts, the quickest first."""
    return (
        _pytest("integration", ("-n", "2", "--dist", "loadfile"), keyword=keyword),
        # The lab is one: its tests take turns.
        _pytest("e2e", ("-n", "0"), keyword=keyword),
        _pytest("blackbox", ("-n", "0"), keyword=keyword),
        _pytest("load", ("-n", "0"), keyword=keyword),
        # Minutes of a machine are for `invoke test.full`.
        _pytest("vm", ("-n", "0", "-m", "not slow"), keyword=keyword),
    )


def fixes() -> tuple[Suite, ...]:
    """List what a machine can put right, in order."""
    return (
        Suite("lint", ("ruff", "check", "--fix")),
        Suite("format", ("ruff", "format")),
    )


def unknown(selection: Selection, known: tuple[Suite, ...]) -> tuple[str, ...]:
    """Name what was asked for and doesn't exist."""
    return tuple(sorted(set(selection.only) - {suite.name for suite in known}))


def _pytest(
    name: str, arguments: tuple[str, ...], *, keyword: str = "", quiet: bool = False
) -> Suite:
    report = REPORTS / f"junit-{name}.xml"
    selected = ("-k", keyword) if keyword else ()
    command = ("pytest", f"tests/{name}", *arguments, f"--junitxml={report}", *selected)
    return Suite(name, command, report, shows_output=not quiet)
