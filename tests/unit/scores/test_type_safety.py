"""A score goes only with a topology that has what it needs: mypy says so beforehand."""

import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[3]
POOL = """\
from pathlib import Path

from fleet.scores.kvm.defining import PoolScore
from fleet.scores.kvm.pools import HarmonyFleetPool
from fleet.scores.kvm.topology import KvmHostTopology
from fleet.scores.linux.topology import LinuxHostTopology


def on(host: {topology}) -> None:
    PoolScore(HarmonyFleetPool(Path("/pool"))).interpret(host)
"""
PACKAGE = """\
from fleet.scores.kvm.topology import KvmHostTopology
from fleet.scores.linux.packages import PackageScore


def on(host: KvmHostTopology) -> None:
    PackageScore(("podman",)).interpret(host)
"""


def _checked(tmp_path: Path, text: str) -> "subprocess.CompletedProcess[str]":
    snippet = tmp_path / "snippet.py"
    snippet.write_text(text)
    cache = ROOT / "build" / "mypy-snippets"  # of its own: a run of mypy may go on beside
    settings = ("--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(cache))
    argv = (sys.executable, "-m", "mypy", *settings, str(snippet))
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "lock"):  # mypy's cache is for one at a time, and workers are several
        return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.timeout(180)
def test_a_score_that_needs_libvirt_does_not_go_with_a_machine_that_was_not_promoted(tmp_path):
    refused = _checked(tmp_path, POOL.format(topology="LinuxHostTopology"))
    assert refused.returncode == 1
    assert '"LinuxHostTopology"; expected "HasLibvirt"' in refused.stdout


@pytest.mark.timeout(180)
def test_a_score_that_needs_libvirt_goes_with_a_hypervisor(tmp_path):
    taken = _checked(tmp_path, POOL.format(topology="KvmHostTopology"))
    assert taken.returncode == 0, taken.stdout


@pytest.mark.timeout(180)
def test_a_hypervisor_is_still_a_machine(tmp_path):
    taken = _checked(tmp_path, PACKAGE)
    assert taken.returncode == 0, taken.stdout
