"""A machine with a real libvirt: defined as wanted, once, and only where it is ours."""

import dataclasses
from pathlib import Path
from uuid import UUID

import pytest

from fleet import errors
from fleet.scores.kvm import domains
from fleet.scores.kvm.addresses import MacAddress
from fleet.scores.kvm.defining import DomainScore
from fleet.scores.kvm.domains import (
    Accelerator,
    DirectBoot,
    Disk,
    Domain,
    Firmware,
    NetworkRef,
    VmInterface,
)
from fleet.scores.kvm.topology import KvmHostTopology
from fleet.scores.linux.architecture import Arch
from fleet.scores.score import Change

CARD = VmInterface(MacAddress("52:54:00:12:34:56"), NetworkRef(bridge="fl255"))
OTHER_CARD = VmInterface(MacAddress("52:54:00:12:34:57"), NetworkRef(bridge="fl255"))


@pytest.fixture
def domain(tmp_path: Path) -> Domain:
    """A small machine that boots from nothing."""
    return Domain(
        name="guest",
        uuid=UUID(int=7),
        owner="site",
        arch=Arch.X86_64,
        accelerator=Accelerator.TCG,
        memory_mib=64,
        vcpus=1,
        boot=Firmware.BIOS,
        serial_log=tmp_path / "serial.log",
    )


def test_a_machine_is_defined_and_a_second_run_changes_nothing(
    host: KvmHostTopology, domain: Domain
):
    wanted = dataclasses.replace(
        domain,
        boot=DirectBoot(Path("/boot/k"), Path("/boot/i"), "root=LABEL=root"),
        disks=(Disk(Path("/d.qcow2"), expendable=True), Disk(Path("/s.iso"), "raw", True, "cdrom")),
        interfaces=(CARD,),
    )

    assert DomainScore(wanted).interpret(host).expect().change is Change.CHANGED
    assert DomainScore(wanted).interpret(host).expect().change is Change.UNCHANGED
    assert not host.hypervisor.domains()[0].is_on


@pytest.mark.parametrize(
    ("before", "after", "difference"),
    [
        ({}, {"memory_mib": 96}, "domain/memory is 65536, not 98304"),
        ({}, {"vcpus": 2}, "domain/vcpu is 1, not 2"),
        ({}, {"interfaces": (CARD,)}, "domain/devices/interface: 0 of them, not 1"),
        ({"interfaces": (CARD,)}, {"interfaces": ()}, "domain/devices/interface: 1 of them, not 0"),
        ({"interfaces": (CARD,)}, {"interfaces": (OTHER_CARD,)},
         f"domain/devices/interface/mac address is {CARD.mac}, not {OTHER_CARD.mac}"),
        ({"disks": (Disk(Path("/a")),)}, {"disks": (Disk(Path("/b")),)},
         "domain/devices/disk/source file is /a, not /b"),
    ],
    ids=["memory", "processors", "a card more", "a card less", "another card", "another disk"],
)  # fmt: skip
def test_a_changed_machine_is_updated(
    host: KvmHostTopology, domain: Domain, before, after, difference: str
):
    DomainScore(dataclasses.replace(domain, **before)).interpret(host).expect()
    changed = DomainScore(dataclasses.replace(domain, **after))

    assert changed.interpret(host).expect().details == (difference,)
    assert changed.interpret(host).expect().change is Change.UNCHANGED


def test_a_machine_is_switched_on_once_and_again_when_somebody_switched_it_off(
    host: KvmHostTopology, domain: Domain
):
    score = DomainScore(domain, is_on=True)

    assert score.interpret(host).expect().change is Change.CHANGED
    found = host.hypervisor.find(domain.name)
    assert found is not None
    assert found.is_running
    assert score.interpret(host).expect().change is Change.UNCHANGED

    host.hypervisor.destroy(domain.name)
    assert score.interpret(host).expect().details == ("it is off",)


def test_a_machine_that_is_on_goes_on_when_its_definition_changes(
    host: KvmHostTopology, domain: Domain
):
    DomainScore(domain, is_on=True).interpret(host).expect()
    bigger = DomainScore(dataclasses.replace(domain, memory_mib=96), is_on=True)

    assert bigger.interpret(host).expect().change is Change.CHANGED
    assert bigger.interpret(host).expect().change is Change.UNCHANGED
    assert host.hypervisor.domains()[0].is_running


@pytest.mark.parametrize("owner", ["another", ""], ids=["another's", "nobody's that we know"])
def test_a_machine_of_somebody_else_is_refused_and_never_touched(
    host: KvmHostTopology, domain: Domain, owner: str
):
    theirs = domains.xml(dataclasses.replace(domain, owner="another", memory_mib=80))
    host.hypervisor.define(theirs if owner else _without_metadata(theirs))
    before = host.hypervisor.domains()

    with pytest.raises(errors.NotOurs, match="domain guest is there"):
        DomainScore(domain, is_on=True).interpret(host).expect()

    assert host.hypervisor.domains() == before


def _without_metadata(xml: str) -> str:
    start, end = xml.index("<metadata>"), xml.index("</metadata>") + len("</metadata>")
    return xml[:start] + xml[end:]
