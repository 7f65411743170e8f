"""The invoke task that soaks the bus; it fails where a session did, and says how to repeat that."""

import asyncio
import os
import secrets
import shutil
import time
from pathlib import Path

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task
from rich.console import Console

from lab.bench.results import Results
from lab.console import invocation
from lab.proof import evidence
from lab.soak import outcome, report, schedule
from lab.soak.outcome import Outcome, Run

_ROOT = Path(__file__).parents[2]
_DIRECTORY = Path("build/soak")
_SEEDS = 1_000_000

_console = Console(soft_wrap=True, highlight=False)
_progress = Console(soft_wrap=True, highlight=False, stderr=True)


@task(
    help={
        "sessions": "how many",
        "seed": "of the schedule; without it another one each time, which is shown",
        "only": "numbers of sessions, comma-separated: all others are left out",
        "record": "write docs/evidence/soak.json",
    }
)
def bus(
    _: Context, sessions: int = 50, seed: int = 0, only: str = "", record: bool = False
) -> None:
    """Break sessions of the bus in every way under load; all that was put must arrive."""
    # Here, so that no other command loads the bus.
    from lab.soak import driver  # noqa: PLC0415

    os.chdir(_ROOT)
    seed = seed or secrets.randbelow(_SEEDS) + 1
    with invocation.told_errors():
        chosen = schedule.choose(sessions, only)
    command = f"invoke soak.bus --sessions {sessions} --seed {seed}"
    _progress.print(command)
    load, begun, of = os.getloadavg()[0], time.monotonic(), evidence.commit()
    breaks = [b for b in schedule.plan(seed, sessions) if not chosen or b.number in chosen]
    run = asyncio.run(driver.run(seed, breaks, _prepared(), driver.Layout(), _tell))
    if record and not chosen:
        written = report.write(run, command, seconds=time.monotonic() - begun, of=of)
        _progress.print(f"evidence: {written}")
    found = Results.of("soak", command, outcome.figures(run), load)
    _console.print(found.table())
    _console.print(f"written to {found.write()}; the buses' log is in {_DIRECTORY}")
    _conclude(run, command)


def collection() -> Collection:
    """Return the task, to be added as ``soak``."""
    return Collection("soak", bus)


def _prepared() -> Path:
    """Make the directory anew; the buses log to it."""
    shutil.rmtree(_DIRECTORY, ignore_errors=True)
    _DIRECTORY.mkdir(parents=True)
    invocation.log_to_file(_DIRECTORY / "bus.log")
    return _DIRECTORY


def _tell(result: Outcome) -> None:
    style = "dim" if result.passed else "red"
    _progress.print(outcome.told(result), style=style, markup=False)


def _conclude(run: Run, command: str) -> None:
    for stray in run.strays:
        _console.print(f"nobody looked after: {stray}", markup=False)
    if run.failed:
        numbers = ",".join(str(each.number) for each in run.failed)
        raise Exit(f"{len(run.failed)} failed; again: {command} --only {numbers}", code=1)
    if run.strays:
        raise Exit(f"{len(run.strays)} errors that nobody looked after; again: {command}", code=1)
