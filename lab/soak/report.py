"""Writes down a run of the soak beside the evidence of the suites, in its form."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.proof import evidence
from lab.proof.results import Counts, Result
from lab.soak import outcome
from lab.soak.outcome import Run

PATH = Path("docs/evidence/soak.json")


def write(run: Run, command: str, *, seconds: float, of: str) -> Path:
    """Write the evidence of *run*, which took *seconds* on the commit *of*."""
    described = describe(run, command, seconds=seconds, of=of)
    PATH.write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n")
    return PATH


def describe(run: Run, command: str, *, seconds: float, of: str) -> Mapping[str, Any]:
    """Put *run* into words: as a suite whose tests are sessions, and what else there is to tell."""
    failed = len(run.failed)
    counts = Counts(passed=len(run.outcomes) - failed, failed=failed, skipped=0)
    result = Result("soak", int(not run.passed), seconds, counts=counts)
    return {**evidence.describe(result, of, ()), "command": command, **outcome.record(run)}
