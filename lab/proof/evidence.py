"""
Writes down what a suite has proven, and of what: `docs/evidence/SUITE.json`.

Figures say little without the machine and the commit that they are of, so they come with both.
"""

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from lab import commands, host
from lab.proof.results import Result

_GIBIBYTE = 1 << 30


def write(result: Result, directory: Path, *, lab: str = "") -> Path:
    """Write the evidence of *result* into *directory*, with the boots of *lab*'s machines."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{result.name}.json"
    path.write_text(json.dumps(describe(result, boots(lab)), indent=2) + "\n")
    return path


def describe(result: Result, booted: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Put *result* into words: what ran, on what, and how it went."""
    counts = result.counts
    return {
        "suite": result.name,
        "passed": result.passed,
        "tests": str(counts or "none"),
        "seconds": round(result.seconds, 1),
        "commit": commands.ask("git", "describe", "--always", "--dirty").out.strip(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": {
            "arch": platform.machine(),
            "kernel": platform.release(),
            "cores": psutil.cpu_count(),
            "memory_gib": round(psutil.virtual_memory().total / _GIBIBYTE),
        },
        "boots": booted,
    }


def boots(lab: str) -> list[Mapping[str, Any]]:
    """Return how long the stages of each boot of *lab*'s machines took, in seconds."""
    try:
        lines = (host.labs_dir() / lab / "logs" / "boots.jsonl").read_text().splitlines()
    except OSError:
        return []
    return [json.loads(line) for line in lines]
