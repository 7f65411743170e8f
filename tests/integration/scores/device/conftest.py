"""A machine without systemd, and the bundle that suits it."""

import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.scores.device.bundle import Bundle
from fleet.scores.linux.architecture import Arch
from lab.devices import agent_bundle
from tests.integration.scores.device.sandbox import Sandbox, sandbox

PYTHON = "/usr/bin/python3"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Sandbox]:
    """This host's programs on files of the test's own."""
    if os.geteuid() != 0:
        pytest.skip("mount namespaces need root")
    with sandbox(tmp_path) as made:
        yield made


def python_here() -> str:
    """Return the minor version of the system's own Python, for which agents are installed."""
    asked = (PYTHON, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    """The agent of this checkout, for the machine that we are on."""
    if not Path(PYTHON).exists() or python_here() not in agent_bundle.PYTHONS:
        pytest.skip(f"{PYTHON} is not Python {' or '.join(agent_bundle.PYTHONS)}")
    return agent_bundle.bundle(Arch(platform.machine()), python_here())


@pytest.fixture(scope="session")
def next_bundle(bundle: Bundle) -> Bundle:
    """Another version of it."""
    over = {"fleet/agent/EDITION": b"next"}
    return agent_bundle.bundle(bundle.arch, bundle.python, laid_over=over)
