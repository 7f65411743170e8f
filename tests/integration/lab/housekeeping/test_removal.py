"""`lab.gc` as it is typed: it tells first, keeps what lives, and takes dead labs down when told."""

import subprocess
import sys
from pathlib import Path

import pytest

from lab.host import labs
from lab.host.lab_host import LabHost
from lab.host.processes import ProcessScore
from lab.system.waiting import Probe

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(120)


def collect(*options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "lab.gc", *options],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def running() -> Probe:
    return lambda: ""


def bridge(host: LabHost) -> Path:
    return Path("/sys/class/net", host.addresses.bridge)


def test_a_dead_lab_is_told_of_with_what_to_type_and_taken_down_only_when_told(lab_host: LabHost):
    assert "lab.down --name test" in collect("--dry-run", "--all")
    assert "lab.down --name test" in collect()
    assert bridge(lab_host).exists()

    assert "removed" in collect("--all")

    assert not labs.is_there("test")


def test_a_lab_of_which_anything_runs_is_left_alone(lab_host: LabHost):
    ProcessScore("sleeper", ("sleep", "600"), running()).interpret(lab_host).expect()

    assert "test" not in collect("--all", "--older-than", "0")

    assert labs.is_there("test")
