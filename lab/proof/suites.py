"""
Names every check and suite, and the command that runs it. Decides only.

A *check* needs nothing but the Python environment and is quiet unless it
fails; a *suite* needs the lab's parts and shows its output as it comes.
"""

from dataclasses import dataclass, replace
from pathlib import Path

REPORTS = Path("build")
MACHINES = ("vm-smoke", "vm-arm64", "vm-debian-13")  # topologies of one machine each


@dataclass(frozen=True, slots=True)
class Suite:
    """One thing to run. *report* is the JUnit file that it writes, if it runs tests."""

    name: str
    command: tuple[str, ...]
    report: Path | None = None
    shows_output: bool = False
    lab: str = ""
    """the lab that it brings up, if it has machines"""


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
        _pytest("unit", ("-n", "auto", "-m", "not slow"), quiet=True),
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


def full(keyword: str = "") -> tuple[Suite, ...]:
    """List what takes too long for every change: all faults, arm64, and the next Debian."""
    return (
        *(suite for suite in suites(keyword) if suite.name != "vm"),
        _fuzzing(keyword),
        *(_on_machine(topology, keyword) for topology in MACHINES),
    )


def _fuzzing(keyword: str) -> Suite:
    """Try what anybody may write into a bucket for long, rather than for a moment."""
    suite = _pytest("unit", ("-n", "auto", "-m", "slow"), keyword=keyword, report="fuzz")
    return replace(suite, name="fuzz")


def _on_machine(topology: str, keyword: str) -> Suite:
    """Run the suite of machines on the one of *topology*."""
    lab = f"{topology}-full"
    suite = _pytest("vm", ("-n", "0"), keyword=keyword, report=topology)
    where = ("env", f"LAB_NAME={lab}", f"LAB_TOPOLOGY={topology}")
    return replace(suite, name=topology, command=(*where, *suite.command), lab=lab)


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
    name: str,
    arguments: tuple[str, ...],
    *,
    keyword: str = "",
    quiet: bool = False,
    report: str = "",
) -> Suite:
    path = REPORTS / f"junit-{report or name}.xml"
    selected = ("-k", keyword) if keyword else ()
    command = ("pytest", f"tests/{name}", *arguments, f"--junitxml={path}", *selected)
    return Suite(name, command, path, shows_output=not quiet)
