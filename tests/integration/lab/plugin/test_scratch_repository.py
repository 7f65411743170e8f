"""The plugin, as somebody else's repository uses it: a real lab, two workers, one page."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab_host import needs

pytestmark = [needs("podman", "etcd", "nats-server"), pytest.mark.timeout(300)]

TESTS = """
import pytest

from fleet.contracts.kv import device_info_key
from fleet.contracts.messages import DEVICE_INFO


def test_a_device_runs_a_program(device):
    assert device.run("echo", "from", device.id) == f"from {device.id}\\n"


@pytest.mark.needs("rootless")
def test_a_device_with_a_capability_is_given(device):
    assert device.told["rootless"]


@pytest.mark.needs("vm")
def test_what_no_device_has_is_a_reason_to_skip(device):
    raise AssertionError


def test_the_lab_is_the_same_for_every_worker(lab, devices):
    assert len(devices) == 3


def test_the_fleet_knows_every_device(devices, cluster, nats):
    for device in devices:
        cluster.wait(f"fleetdev/{device.id}", "condition=Ready")
        assert nats.read(DEVICE_INFO, device_info_key(device.id))


def test_a_device_has_a_podman(device):
    rootless = device.podman("info", "--format", "{{.Host.Security.Rootless}}").strip()
    assert rootless == str(device.told["rootless"]).lower()


def test_what_fails_leaves_its_evidence(device):
    assert device.id == "another"
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with tests, and nothing of ours."""
    (tmp_path / "test_theirs.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
    )
    return tmp_path


@pytest.fixture
def name() -> str:
    """A lab of this test's own, also where two of its runs meet."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    return f"plugin-{os.getpid()}"


def test_a_repository_of_somebody_else_uses_a_lab(repository: Path, name: str):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "--lab-topology", "smoke", "--lab-name", name,
         "--lab-log-dir", "logs", "-p", "no:cacheprovider"],
        cwd=repository, capture_output=True, text=True, timeout=280, check=False,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")},
    )  # fmt: skip

    assert "1 failed, 5 passed, 1 skipped" in done.stdout, done.stdout + done.stderr
    assert f"lab {name} is taken down" in done.stdout
    (page,) = repository.glob("logs/*/timeline.html")
    text = page.read_text()
    assert "test_what_fails_leaves_its_evidence" in text
    assert "control-plane" in text
    assert "fleet-agent status of" in text
    assert re.search("no device of lab .* is vm", text)
    assert f"lab {name} is being brought up: " in done.stderr
    assert "  control-plane\n" in done.stderr
