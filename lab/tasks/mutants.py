"""The invoke task that measures what unit tests notice. Takes long; no part of `invoke test`."""

import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task
from rich.console import Console
from rich.status import Status

from lab.errors import LabError
from lab.proof import evidence, mutants, mutating, running
from lab.proof.mutants import Module, Outcome

_ROOT = Path(__file__).parents[2]
_EVIDENCE = Path("docs/evidence/mutants.json")
_SEEDS = 1_000_000

_console = Console(soft_wrap=True, highlight=False)


@task(
    name="mutants",
    iterable=["only"],
    help={
        "only": "a module or a room of them (may be repeated), e.g. operator/decisions",
        "sample": "how many mutants of each module; 0 for all",
        "seed": "of the sample; without it another one each time, which is shown",
        "record": "write these modules' figures into docs/evidence/mutants.json",
    },
)
def measure(
    _: Context,
    only: Sequence[str] | None = None,
    sample: int = 0,
    seed: int = 0,
    record: bool = False,
) -> None:
    """Break each module that decides in small ways, and see whether its unit tests notice."""
    os.chdir(_ROOT)
    try:
        chosen = mutants.choose(only or ())
    except ValueError as exc:
        raise Exit(str(exc), code=2) from exc
    seed = seed or (secrets.randbelow(_SEEDS) + 1 if sample else 0)
    command = _command(only or (), sample, seed)
    _console.print(command)
    done: list[Outcome] = []
    failed: list[str] = []
    try:
        with running.interruptible():
            for module in chosen:
                _measure(module, sample, seed, done, failed)
    except KeyboardInterrupt as exc:
        _conclude(done)
        _console.print(f"interrupted; `{command}` goes on where it was")
        raise Exit(code=130) from exc
    _conclude(done)
    if record:
        _console.print(f"evidence: {_record(done, _command((), sample, seed))}")
    if failed:
        raise Exit(f"not measured: {', '.join(failed)}", code=1)


def _measure(
    module: Module, sample: int, seed: int, done: list[Outcome], failed: list[str]
) -> None:
    with Status(module.name, console=_console) as status:

        def tell(line: str) -> None:
            status.update(f"{module.name} {line}", spinner="dots")

        try:
            found = mutating.measure(module, count=sample, seed=seed, tell=tell)
        except LabError as exc:
            _console.print(str(exc), style="red", markup=False)
            failed.append(module.name)
            return
    done.append(found)
    missed = len(found.missed)
    _console.print(f"{module.name}: {found.score:.1%} of {found.tried}, {missed} missed")


def _conclude(done: Sequence[Outcome]) -> None:
    _console.rule()
    _console.print(mutants.table(done))
    if missed := [each for each in done if each.missed]:
        diffs = mutating.DIRECTORY / f"{missed[0].module.replace('/', '.')}.diff"
        _console.print(f"what no test noticed: {mutating.DIRECTORY}/*.diff, e.g. {diffs}")
        _console.print(f"after a new test: invoke test.mutants --only {missed[0].module}")


def _record(done: Sequence[Outcome], command: str) -> Path:
    """Write these modules' figures beside those of others, which say of which commit they are."""
    before = json.loads(_EVIDENCE.read_text())["modules"] if _EVIDENCE.exists() else {}
    modules = dict(sorted({**before, **mutants.record(done)}.items()))
    described = {"command": command, "host": evidence.host(), "modules": modules}
    _EVIDENCE.write_text(json.dumps(described, indent=2) + "\n")
    return _EVIDENCE


def _command(only: Sequence[str], sample: int, seed: int) -> str:
    options = "".join(f" --only {each}" for each in only)
    return f"invoke test.mutants{options}" + (f" --sample {sample} --seed {seed}" if sample else "")
