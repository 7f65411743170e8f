"""`lab.snapshots.identity`: what a snapshot would fit is told without anything that runs."""

import hashlib
import os
from pathlib import Path

import pytest

from fleet.scores.linux.architecture import Arch
from lab.devices.vm import device as devices
from lab.devices.vm.device import VmDevice
from lab.errors import PreflightFailed
from lab.host.lab_host import Addresses, LabHost, write_json
from lab.lifecycle.topology import Backend, Device
from lab.snapshots import identity

MACHINE = VmDevice(
    id="vm-01", index=1, labels={}, nats_url="nats://10.213.1.1:4222", credentials=Path("none"),
    registry="10.213.1.1:5000", arch=Arch.X86_64, image="debian-12-x86_64",
)  # fmt: skip


@pytest.fixture
def host(tmp_path: Path) -> LabHost:
    return LabHost("x", tmp_path / "x", Addresses(1))


def stand_on(host: LabHost, image: Path) -> None:
    parts = {"digest": "abc", "disk": image, "kernel": "/boot/k", "initrd": "/boot/i"}
    write_json(devices.places(host, MACHINE.id).base, {key: str(v) for key, v in parts.items()})


def test_an_image_is_that_which_the_disk_stands_on(host: LabHost, tmp_path: Path):
    (tmp_path / "disk").touch()
    stand_on(host, tmp_path / "disk")
    assert identity.image_of(host, MACHINE) == "abc"
    assert identity.kernel_of(host, MACHINE) == Path("/boot/k")


def test_an_image_that_is_gone_is_another(host: LabHost, tmp_path: Path):
    stand_on(host, tmp_path / "gone")
    assert identity.image_of(host, MACHINE) == "abc, which is gone"


def test_an_emulator_is_its_version_its_content_and_how_it_runs_guests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    program = tmp_path / "qemu-system-x86_64"
    program.write_text("#!/bin/sh\necho QEMU emulator version 7.2.22\necho Copyright\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    digest = hashlib.sha256(program.read_bytes()).hexdigest()[:16]
    told = identity.emulator(program.name, "tcg")
    assert told == f"QEMU emulator version 7.2.22 (sha256 {digest}), tcg"

    program.write_text(program.read_text() + "# rebuilt\n")
    assert identity.emulator(program.name, "tcg") != told


def test_an_emulator_that_is_not_there_is_named():
    with pytest.raises(PreflightFailed, match="`qemu-system-none` is not installed"):
        identity.emulator("qemu-system-none", "tcg")


@pytest.mark.parametrize(
    "other",
    [
        Device(id="a", backend=Backend.VM, memory=1024),
        Device(id="a", backend=Backend.VM, labels={"site": "other"}),
        Device(id="a", backend=Backend.HOST),
    ],
)
def test_whatever_a_topology_says_of_a_device_counts(other: Device):
    one = Device(id="a", backend=Backend.VM, labels={"site": "here"})
    assert identity.described(one) != identity.described(other)
    assert identity.described(one) == identity.described(
        Device(id="a", backend=Backend.VM, labels={"site": "here"})
    )
