"""The invoke task that soaks the bus. It fails where a session did, and says how to run it again."""

import asyncio
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import structlog
from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task
from rich.console import Console

from lab.bench.results import Results
from lab.soak import driver, outcome, schedule
from lab.soak.driver import Layout
from lab.soak.outcome import Outcome
from lab.soak.schedule import Break

_ROOT = Path(__file__).parents[2]
_DIRECTORY = Path("build/soak")

_console = Console(soft_wrap=True, highlight=False)
_progress = Console(soft_wrap=True, highlight=False, stderr=True)


@task(
    help={
        "sessions": "how many",
        "seed": "of the schedule; without it another one each time, which is shown",
        "only": "the numbers of the sessions to run, comma-separated; all others are left out",
        "lanes": "how many run side by side with a server of their own",
        "clusters": "how many run side by side with three servers of their own",
        "record": "write docs/evidence/soak.json",
    }
)
def bus(
    _: Context,
    sessions: int = 50,
    seed: int = 0,
    only: str = "",
    lanes: int = 6,
    clusters: int = 2,
    record: bool = False,
) -> None:
    """Break sessions of the bus in every way under load; all that was put must arrive."""
    os.chdir(_ROOT)
    seed = seed or secrets.randbelow(1_000_000) + 1
    command = f"invoke soak.bus --sessions {sessions} --seed {seed}"
    _progress.print(command)
    ...


def collection() -> Collection:
    """Return the task, to be added as ``soak``."""
    return Collection("soak", bus)
