"""The invoke tasks that prove a tree, and those that write what is generated."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task
from rich.console import Console

from lab.proof import evidence, generated, results, resuming, running, suites
from lab.proof.results import Result
from lab.proof.suites import Selection, Suite
from lab.tasks import mutants

_ROOT = Path(__file__).parents[2]
_FULL = _ROOT / suites.REPORTS / "full.json"
_console = Console(soft_wrap=True, highlight=False)


@task
def check(_: Context) -> None:
    """Check format, lint, types, layers and spelling, and run the unit tests."""
    os.chdir(_ROOT)
    _conclude(_check(suites.checks()))


@task(
    name="all",
    iterable=["only"],
    help={
        "only": "a suite or check by name (may be repeated), e.g. e2e",
        "keyword": "run just the tests that match, as with pytest -k",
    },
)
def prove(_: Context, only: Sequence[str] | None = None, keyword: str = "") -> None:
    """Run everything: the checks, then the tests on real parts. Needs root for the lab."""
    os.chdir(_ROOT)
    selection = Selection(tuple(only or ()), keyword)
    known = (*suites.checks(), *suites.suites(keyword))
    if missing := suites.unknown(selection, known):
        names = ", ".join(suite.name for suite in known)
        raise Exit(f"no such suite: {', '.join(missing)}; there are {names}", code=2)
    _conclude(tuple(_run(suite for suite in known if selection.wants(suite))))


@task(
    help={
        "only": "a suite by name (may be repeated)",
        "keyword": "as with pytest -k",
        "again": "repeat also what has passed on this very tree",
    },
    iterable=["only"],
)
def full(
    _: Context, only: Sequence[str] | None = None, keyword: str = "", again: bool = False
) -> None:
    """
    Run also what takes hours (arm64, Debian 13, slow faults); write docs/evidence.

    What an earlier run has passed on the same tree isn't repeated.
    """
    os.chdir(_ROOT)
    selection = Selection(tuple(only or ()), keyword)
    known = suites.full(keyword)
    if missing := suites.unknown(selection, known):
        names = ", ".join(suite.name for suite in known)
        raise Exit(f"no such suite: {', '.join(missing)}; there are {names}", code=2)
    chosen = tuple(filter(selection.wants, known))
    if keyword:  # a part of a suite is no evidence for it
        _conclude(tuple(_run(chosen)))
        return
    tree = resuming.tree(_ROOT)
    progress = resuming.Progress(_FULL, tree)
    passed = {} if again else progress.passed()
    before = [passed[suite.name] for suite in chosen if suite.name in passed]
    for result in before:
        _console.print(f"{result.name}: passed on this tree before; --again repeats it")
    commit = evidence.commit()
    earlier = {suite.name: len(evidence.boots(suite.lab)) for suite in chosen}
    labs = {suite.name: suite.lab for suite in chosen}

    def conclude(result: Result) -> None:
        _announce(result)
        if resuming.tree(_ROOT) != tree:
            _console.print(f"{result.name}: no evidence, since the tree was changed meanwhile")
            return
        progress.note(result)
        booted = evidence.boots(labs[result.name])[earlier[result.name] :]
        written = evidence.write(result, _ROOT / resuming.EVIDENCE, of=commit, booted=booted)
        _console.print(f"evidence: {written.relative_to(_ROOT)}")

    rest = (suite for suite in chosen if suite.name not in passed)
    _conclude((*before, *_run(rest, conclude)))


def collection() -> Collection:
    """Return the tasks that test, to be added as ``test``: without a further name, all of CI's."""
    found = Collection("test")
    found.add_task(prove, default=True)
    found.add_task(full)
    found.add_task(mutants.measure)
    return found


@task
def fix(_: Context) -> None:
    """Put right what a machine can: format, and lint with a safe fix."""
    os.chdir(_ROOT)
    _conclude(tuple(running.run_in_turn(suites.fixes())))


@task(help={"upgrade": "take the newest versions, rather than those locked now"})
def lock(_: Context, upgrade: bool = False) -> None:
    """Compile requirements/*.txt anew from pyproject.toml."""
    os.chdir(_ROOT)
    _conclude(tuple(running.run_in_turn(generated.locks(upgrade=upgrade))))


@task
def crds(_: Context) -> None:
    """Write deploy/crds/*.yaml from fleet.contracts.schemas.crds."""
    for path in generated.write_crds(_ROOT / "deploy" / "crds"):
        _console.print(path.relative_to(_ROOT))


@task
def schema(_: Context) -> None:
    """Write lab/topologies/topology.schema.json from lab.lifecycle.topology."""
    _console.print(generated.write_schema().relative_to(_ROOT))


def _check(chosen: Sequence[Suite]) -> tuple[Result, ...]:
    if chosen:
        _console.print(f"checking: {', '.join(suite.name for suite in chosen)}")
    return running.run_together(chosen, announce=_announce)


def _run(chosen: Iterable[Suite], announce: running.Announce | None = None) -> Iterator[Result]:
    return running.run_in_rounds(suites.rounds(chosen), announce=announce or _announce)


def _announce(result: Result) -> None:
    verdict = "ok" if result.passed else "FAILED"
    _console.print(f"{result.name}: {verdict} after {result.seconds:.1f} s")
    if result.output and not result.passed:
        _console.rule(f"[red]{result.name}")
        _console.out(result.output, highlight=False)


def _conclude(done: Sequence[Result]) -> None:
    _console.rule()
    _console.print(results.table(done))
    for line in results.failures(done):
        _console.out(line, highlight=False)
    if failed := [result.name for result in done if not result.passed]:
        raise Exit(f"failed: {', '.join(failed)}", code=1)
