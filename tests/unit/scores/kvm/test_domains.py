"""The XML of machines, byte for byte, and what no machine may be."""

import dataclasses
import os
from pathlib import Path
from uuid import UUID

import pytest

from fleet import errors
from fleet.scores.kvm import domains, elements
from fleet.scores.kvm.addresses import MacAddress
from fleet.scores.kvm.domains import (
    Accelerator,
    DirectBoot,
    Disk,
    Domain,
    Firmware,
    NetworkRef,
    VmInterface,
)
from fleet.scores.linux.architecture import Arch

GOLDEN = Path(__file__).parent / "golden"
MAC = MacAddress("52:54:00:12:34:56")
MACHINE = Domain(
    name="lab-dev-01",
    uuid=UUID(int=1),
    owner="lab",
    arch=Arch.X86_64,
    accelerator=Accelerator.TCG,
    memory_mib=768,
    vcpus=2,
    boot=DirectBoot(Path("/k"), Path("/i"), "root=LABEL=root ro console=ttyS0"),
    serial_log=Path("/logs/serial.log"),
    disks=(
        Disk(Path("/d.qcow2"), expendable=True),
        Disk(Path("/seed.iso"), "raw", read_only=True),
        Disk(Path("/tools.iso"), "raw", kind="cdrom"),
    ),
    interfaces=(
        VmInterface(MAC, NetworkRef(bridge="fl1"), target="fl1d01"),
        VmInterface(MacAddress.of("second"), NetworkRef(network="default"), link_up=False),
    ),
)
KINDS = {
    "x86_64-tcg": MACHINE,
    "x86_64-kvm-uefi": dataclasses.replace(
        MACHINE, accelerator=Accelerator.KVM, boot=Firmware.UEFI, panic_device=True
    ),
    "aarch64-tcg": dataclasses.replace(MACHINE, arch=Arch.AARCH64, reboots=False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_machine_is_described_in_these_bytes(kind):
    golden = GOLDEN / f"{kind}.xml"
    if os.environ.get("FLEET_GOLDEN"):
        golden.write_text(domains.xml(KINDS[kind]))
    assert domains.xml(KINDS[kind]) == golden.read_text()


def test_an_emulated_pc_has_no_cmpxchg16b_at_which_a_kernel_panics():
    assert '<feature policy="disable" name="cx16" />' in domains.xml(MACHINE)
    assert "cx16" not in domains.xml(KINDS["x86_64-kvm-uefi"])


def test_a_machine_tells_who_made_it():
    assert elements.owner_of(domains.xml(MACHINE)) == "lab"
    assert elements.owner_of("<domain><name>x</name></domain>") is None


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"name": ""}, "a name"),
        ({"name": "a/b"}, "no slash"),
        ({"owner": ""}, "owner"),
        ({"memory_mib": 0}, "memory"),
        ({"vcpus": 0}, "processor"),
        ({"serial_log": Path("serial.log")}, "absolute"),
        ({"disks": (Disk(Path("d.qcow2")),)}, "absolute"),
        ({"interfaces": MACHINE.interfaces[:1] * 2}, "same hardware address"),
    ],
)
def test_what_is_no_machine_is_refused(changes, rule):
    with pytest.raises(errors.InvalidConfig, match=rule):
        dataclasses.replace(MACHINE, **changes)


@pytest.mark.parametrize("plug", [{}, {"bridge": "fl1", "network": "default"}], ids=str)
def test_an_interface_is_plugged_into_one_thing(plug):
    with pytest.raises(errors.InvalidConfig, match="one of the two"):
        NetworkRef(**plug)


@pytest.mark.parametrize("target", ["", "a-name-of-sixteen"])
def test_an_interface_has_a_name_that_the_kernel_takes(target):
    with pytest.raises(errors.InvalidConfig, match="1 to 15"):
        VmInterface(MAC, NetworkRef(bridge="fl1"), target=target)


def test_what_libvirt_adds_by_itself_is_no_difference():
    wanted = '<domain><os><type machine="pc">hvm</type></os><devices><disk/></devices></domain>'
    actual = (
        '<domain id="3"><os><type machine="pc-i440fx-7.2">hvm</type></os>'
        "<devices><disk><alias/></disk><controller/></devices></domain>"
    )
    assert elements.differences(wanted, actual) == ()


def test_what_is_otherwise_is_told_by_its_place():
    wanted = '<domain><vcpu>2</vcpu><devices><disk a="1"/></devices></domain>'
    actual = '<domain><vcpu>1</vcpu><devices><disk a="2"/><disk/></devices></domain>'
    assert elements.differences(wanted, actual) == (
        "domain/vcpu is 1, not 2",
        "domain/devices/disk a is 2, not 1",
        "domain/devices/disk: 2 of them, not 1",
    )
