"""A machine that sets itself up: what it says on its console."""

import pytest
import structlog
from msgspec import structs

from fleet.scores.device import local, travelling
from fleet.scores.linux.topology import LinuxHostTopology
from tests.integration.scores.device.systemd import Systemd
from tests.unit.scores.device.making import CONFIG


@pytest.fixture
def console(tmp_path_factory):
    yield tmp_path_factory.mktemp("console") / "tty"
    structlog.reset_defaults()


def told(console, machine, setup):
    """Set *machine* up by what *setup* holds, and return the exit status and the lines."""
    path = console.with_name("setup.json")
    path.write_bytes(setup)
    status = local.main(
        ["--console", str(console), str(path)], topology=lambda: LinuxHostTopology(machine)
    )
    return status, console.read_text().splitlines()


def test_each_step_is_told_and_then_that_it_is_done(machine, bundle, console):
    systemd = Systemd(machine)
    config = structs.replace(CONFIG, bundle=bundle, packages=False)
    status, lines = told(console, machine, travelling.encode(config))
    assert status == 0
    assert lines[0] == "fleet-setup: user fleet-agent: changed"
    assert lines[-2:] == ["fleet-setup: fleet-agent.service: changed", "fleet-setup: done"]
    assert systemd.units["fleet-agent.service"].active == "active"


def test_a_setup_that_is_none_is_told_in_one_line(machine, console):
    status, lines = told(console, machine, b'{"device_id": "dev-01"}')
    assert status == 1
    (line,) = lines
    assert line.startswith("fleet-setup: FAILED: not a FleetDeviceSetupConfig: ")


def test_a_step_that_fails_is_the_last_but_one(machine, bundle, console):
    Systemd(machine, agent_breaks=True)
    config = structs.replace(CONFIG, bundle=bundle, packages=False)
    status, lines = told(console, machine, travelling.encode(config))
    assert status == 1
    assert lines[-2] == "fleet-setup: fleet-agent.service: failed"
    assert lines[-1].startswith("fleet-setup: FAILED: sandbox: fleet-agent.service doesn't start")
