"""What carries a lab's machines: its own libvirt, which shares nothing with the host's."""

import os
import signal
from pathlib import Path

import pytest

from fleet import errors
from fleet.scores.score import Score
from lab.devices.vm.boot import progress
from lab.devices.vm.hypervisor import daemon
from lab.errors import WaitTimedOut
from lab.host import mounts, processes
from lab.host.lab_host import LabHost
from lab.system import waiting
from tests.lab_host import bring_about, needs, running

pytestmark = [needs("libvirtd", "qemu-system-x86_64"), pytest.mark.timeout(120)]


@pytest.fixture
def parts(lab_host: LabHost) -> tuple[Score[LabHost], ...]:
    """What makes the lab's libvirt."""
    return daemon.scores(lab_host)


def test_a_lab_has_a_libvirt_of_its_own_and_a_second_look_changes_nothing(
    lab_host: LabHost, parts: tuple[Score[LabHost], ...]
):
    assert "process libvirtd" in bring_about(parts, lab_host)

    with daemon.connect(lab_host) as hypervisor:
        assert hypervisor.domains() == ()
    assert bring_about(parts, lab_host) == []


def test_its_places_are_mounted_for_it_alone(lab_host: LabHost, parts: tuple[Score[LabHost], ...]):
    bring_about(parts, lab_host)

    assert not mounts.is_mounted(Path("/run/libvirt"))
    seen = Path(f"/proc/{running(lab_host, daemon.PART)}/mountinfo").read_text()
    for place in ("/run/libvirt", "/etc/libvirt", "/var/lib/libvirt"):
        assert f" {place} " in seen


def test_it_finds_the_accounts_that_its_build_asks_for_whatever_the_host_has(
    lab_host: LabHost, parts: tuple[Score[LabHost], ...]
):
    bring_about(parts, lab_host)

    root = Path(f"/proc/{running(lab_host, daemon.PART)}/root")
    for accounts in ("passwd", "group"):
        assert "\nlibvirt-qemu:x:" in (root / "etc" / accounts).read_text()


def test_a_libvirt_that_was_killed_is_said_to_be_away_and_comes_back(
    lab_host: LabHost, parts: tuple[Score[LabHost], ...]
):
    bring_about(parts, lab_host)
    with daemon.connect(lab_host) as hypervisor:
        pid = running(lab_host, daemon.PART)
        os.kill(pid, signal.SIGKILL)
        waiting.wait_for("it is gone", _gone(lab_host), within=10)
        with pytest.raises(errors.HypervisorUnavailable):
            hypervisor.domains()

        assert bring_about(parts, lab_host) == ["process libvirtd"]
        assert hypervisor.domains() == ()


def test_an_address_that_no_machine_has_is_named(lab_host: LabHost):
    address = str(lab_host.addresses.device(80))

    with pytest.raises(WaitTimedOut, match=f"{address} doesn't answer: E"):
        waiting.wait_for("vm-80: network", progress.network(address), within=3)


def _gone(host: LabHost) -> waiting.Probe:
    return lambda: "" if processes.pid_of(host.ledger, daemon.PART) is None else "it runs"
