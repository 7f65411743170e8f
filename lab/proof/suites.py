"""
Names every check and suite, and the command that runs it. Decides only.

A *check* needs nothing but the Python environment and is quiet unless it
fails; a *suite* needs the lab's parts and shows its output as it comes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

REPORTS = Path("build")
CHECKS, HOST, MACHINES, LABS, PARTS = "checks", "host", "machines", "labs", "parts"
# What runs when: rounds in turn, each of lanes that run side by side. The end-to-end tests compare
# the whole host with what it was before their lab: beside them runs only what leaves it alone. A
# machine that is emulated boots within its budget beside what mostly waits, and not beside more.
ROUNDS = ((CHECKS, HOST), (PARTS,), (MACHINES, LABS))
TOPOLOGIES = ("vm-smoke", "vm-arm64", "vm-debian-13")  # topologies of one machine each


@dataclass(frozen=True, slots=True)
class Suite:
    """One thing to run. *report* is the JUnit file that it writes, if it runs tests."""

    name: str
    command: tuple[str, ...]
    report: Path | None = None
    shows_output: bool = False
    lab: str = ""
    """the lab that it brings up, if it has machines"""
    lane: str = CHECKS
    """suites of one lane take turns"""


Lane = tuple[Suite, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """What was asked for on the command line: suites by name, and pytest's `-k`."""

    only: tuple[str, ...] = ()
    keyword: str = ""

    def wants(self, suite: Suite) -> bool:
        return not self.only or suite.name in self.only


def checks() -> tuple[Suite, ...]:
    """List the checks, the slowest first."""
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
    """List what runs on real parts."""
    return (
        # A lab is one: its tests take turns.
        _pytest("e2e", ("-n", "0"), keyword=keyword, lane=HOST),
        # Minutes of a machine are for `invoke test.full`.
        _pytest("vm", ("-n", "0", "-m", "not slow"), keyword=keyword, lane=MACHINES),
        _pytest("blackbox", ("-n", "0"), keyword=keyword, lane=LABS),
        _integration(keyword),
        # Has a limit of time, so nothing takes the processor from it.
        _pytest("load", ("-n", "0"), keyword=keyword, lane=PARTS),
    )


def rounds(chosen: Iterable[Suite]) -> tuple[tuple[Lane, ...], ...]:
    """Say what of *chosen* runs when, by `ROUNDS`."""
    suites = tuple(chosen)
    found = (
        tuple(tuple(suite for suite in suites if suite.lane == lane) for lane in lanes)
        for lanes in ROUNDS
    )
    return tuple(lanes for each in found if (lanes := tuple(filter(None, each))))


def full(keyword: str = "") -> tuple[Suite, ...]:
    """List what takes too long for every change: all faults, arm64, and the next Debian."""
    return (
        *(suite for suite in suites(keyword) if suite.name != "vm"),
        _fuzzing(keyword),
        *(_on_machine(topology, keyword) for topology in TOPOLOGIES),
    )


def _integration(keyword: str) -> Suite:
    """Run the tests of parts, with more workers than cores: most of a test is waiting."""
    workers = ("-n", "3", "--dist", "loadfile")
    return _pytest("integration", workers, keyword=keyword, lane=PARTS)


def _fuzzing(keyword: str) -> Suite:
    """Try what anybody may write into a bucket for long, rather than for a moment."""
    arguments = ("-n", "auto", "-m", "slow")
    suite = _pytest("unit", arguments, keyword=keyword, report="fuzz", lane=LABS)
    return replace(suite, name="fuzz")


def _on_machine(topology: str, keyword: str) -> Suite:
    """Run the suite of machines on the one of *topology*."""
    lab = f"{topology}-full"
    suite = _pytest("vm", ("-n", "0"), keyword=keyword, report=topology, lane=MACHINES)
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
    lane: str = CHECKS,
) -> Suite:
    path = REPORTS / f"junit-{report or name}.xml"
    selected = ("-k", keyword) if keyword else ()
    shown = () if quiet else ("-v",)  # a line a test, where the lines of several are mixed
    command = ("pytest", f"tests/{name}", *arguments, *shown, f"--junitxml={path}", *selected)
    return Suite(name, command, path, shows_output=not quiet, lane=lane)
