"""A machine that doesn't come up is named, with the stage and the evidence, within its budget."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fleet.scores.device import travelling
from lab.devices.vm import machine as machines
from lab.devices.vm.device import VmDevice
from lab.devices.vm.hypervisor.admission import Gate
from lab.devices.vm.machine import DiskScore, MachineScore
from lab.devices.vm.seed import SeedScore
from lab.errors import LabError, PartDied, WaitTimedOut
from lab.host.ledger import Kind
from lab.lifecycle import status as statuses
from tests.using_lab.labs import Lab
from tests.vm.machines import Machine

SOON = 30  # a kernel has begun to boot by then, however slow the host
SSH_SOON = 120  # and has its network


@pytest.fixture(scope="module")
def repaired(lab: Lab) -> Iterator[None]:
    """The lab is whole again after the tests here, which all begin without power."""
    yield
    lab.up()


@pytest.fixture
def switched_off(repaired: None, machine: Machine) -> Machine:
    """The machine, without power."""
    machine.cut_power()
    return machine


def test_a_machine_that_never_gets_an_address_is_named_with_its_console(
    lab: Lab, switched_off: Machine, monkeypatch: pytest.MonkeyPatch
):
    _boot_with(monkeypatch, "systemd.mask=systemd-networkd.service")

    error = _fails_to_boot(lab, switched_off, WaitTimedOut, within=SOON)

    assert str(error).startswith("vm-01: network")
    assert "the console's last words" in str(error)
    assert "Linux version" in _evidence(error)["serial.log"]
    assert "<domain" in _evidence(error)["domain.xml"]


def test_a_panic_is_told_at_once_in_the_words_of_the_kernel(
    lab: Lab, switched_off: Machine, monkeypatch: pytest.MonkeyPatch
):
    _boot_with(monkeypatch, "rdinit=/none root=/dev/none")

    error = _fails_to_boot(lab, switched_off, PartDied)

    assert "vm-01: panic in stage" in str(error)
    assert "Kernel panic - not syncing" in str(error)
    assert "Kernel panic - not syncing" in _evidence(error)["serial.log"]


@pytest.mark.slow
def test_a_machine_that_never_opens_ssh_is_named_in_that_stage(
    lab: Lab, switched_off: Machine, monkeypatch: pytest.MonkeyPatch
):
    _boot_with(monkeypatch, "systemd.mask=ssh.service systemd.mask=ssh.socket")

    error = _fails_to_boot(lab, switched_off, WaitTimedOut, within=SSH_SOON)

    assert str(error).startswith("vm-01: ssh")


@pytest.mark.slow
def test_a_set_up_that_fails_is_told_at_once_and_the_next_try_has_another_disk(
    lab: Lab, switched_off: Machine, monkeypatch: pytest.MonkeyPatch
):
    host, device = _device(lab, switched_off)
    host.ledger.note(Kind.DOMAIN, device.id, spoilt=True)  # has it boot as for the first time
    DiskScore(device).bring_about(host)
    with monkeypatch.context() as context:
        context.setattr(travelling, "encode", lambda _: b"{}")  # tells the machine nothing
        SeedScore(device).bring_about(host)
        error = _fails_to_boot(lab, switched_off, PartDied)

    assert "vm-01: set-up failed in stage" in str(error)
    assert "fleet-setup: FAILED" in str(error)
    assert DiskScore(device).differences(host) == ("the first boot from it failed",)


def _fails_to_boot(
    lab: Lab, machine: Machine, kind: type[LabError], *, within: float | None = None
) -> LabError:
    """Try to bring it up, in no more time than *within*, and return how that failed."""
    host, device = _device(lab, machine)
    if within is not None:
        host = replace(host, deadline=time.monotonic() + within)
    with pytest.raises(kind) as failed:
        MachineScore(device, Gate()).bring_about(host)
    return failed.value


def _device(lab: Lab, machine: Machine):
    host, device = statuses.device_of(lab.name, machine.id)
    assert isinstance(device, VmDevice)
    return host, device


def _boot_with(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """Have the kernel be told *words* besides."""
    usual = machines.command_line
    monkeypatch.setattr(machines, "command_line", lambda device: f"{usual(device)} {words}")


def _evidence(error: LabError) -> dict[str, str]:
    assert isinstance(error.log, Path)
    return {path.name: path.read_text() for path in error.log.iterdir()}
