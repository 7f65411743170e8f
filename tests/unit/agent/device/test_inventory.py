"""`inventory`: what this machine says of itself."""

import os
import platform
from pathlib import Path

from fleet.agent.device import inventory


def test_this_machine_is_described():
    found = inventory.read()
    assert found.arch == platform.machine()
    assert found.hostname == platform.node()
    assert found.cpus == os.cpu_count()
    assert found.memory_bytes > 2**20
    assert found.disk_bytes > 2**20


def test_the_name_of_the_system_is_read_without_its_quotes(tmp_path: Path):
    path = tmp_path / "os-release"
    path.write_text('# comment\nNAME=Debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    assert inventory.read_os(path) == "Debian GNU/Linux 12 (bookworm)"


def test_a_system_without_a_name_is_unknown(tmp_path: Path):
    assert inventory.read_os(tmp_path / "none") == "unknown"
