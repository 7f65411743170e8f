"""
Writes down what a suite has proven, and of what: `docs/evidence/SUITE.json`.

Figures say little without the machine and the commit that they are of, so they come with both.
"""

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from lab.host import lab_host
from lab.proof.results import Result
from lab.system import commands

_GIBIBYTE = 1 << 30


def commit() -> str:
    """Name what is checked out. Asked before evidence is written, which changes the tree."""
    return commands.ask("git", "describe", "--always", "--dirty").out.strip()


def write(
    result: Result, directory: Path, *, of: str, booted: Sequence[Mapping[str, Any]] = ()
) -> Path:
    """Write the evidence of *result*, on the commit *of*, with the boots of its machines."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{result.name}.json"
    path.write_text(json.dumps(describe(result, of, booted), indent=2) + "\n")
    return path


def describe(result: Result, of: str, booted: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Put *result* into words: what ran, on what, and how it went."""
    counts = result.counts
    return {
        "suite": result.name,
        "passed": result.passed,
        "tests": str(counts or "none"),
        "skipped": counts.reasons if counts else {},
        "seconds": round(result.seconds, 1),
        "commit": of,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": host(),
        "boots": list(booted),
    }


def host() -> Mapping[str, Any]:
    """Describe the machine that figures are of."""
    return {
        "arch": platform.machine(),
        "kernel": platform.release(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / _GIBIBYTE),
    }


def boots(lab: str) -> list[Mapping[str, Any]]:
    """
    Return how long the stages of each boot of *lab*'s machines took, in seconds, the oldest first.

    A lab's logs outlive it, so there may be boots of earlier runs.
    """
    try:
        lines = (lab_host.labs_dir() / lab / "logs" / "boots.jsonl").read_text().splitlines()
    except OSError:
        return []
    return [json.loads(line) for line in lines]
