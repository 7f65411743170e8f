"""`lab.devices.vm.removal`: a machine goes, in whatever state somebody left it."""

from collections.abc import Iterator

import pytest

from fleet.scores.kvm.libvirt import LibvirtHypervisor
from lab.devices.vm import removal

pytest.importorskip("libvirt", reason="libvirt's binding is not installed")

NAME = "undoing"
XML = f"""
<domain type="test">
  <name>{NAME}</name><memory>8192</memory><os><type>hvm</type></os>
</domain>"""


@pytest.fixture
def hypervisor() -> Iterator[LibvirtHypervisor]:
    with LibvirtHypervisor.connect("test:///default") as hypervisor:
        yield hypervisor
        removal.forget(hypervisor, NAME)


def test_a_machine_that_is_on_goes(hypervisor: LibvirtHypervisor):
    hypervisor.define(XML)
    hypervisor.start(NAME)
    removal.forget(hypervisor, NAME)
    assert hypervisor.find(NAME) is None


def test_a_machine_that_was_undefined_while_it_ran_goes(hypervisor: LibvirtHypervisor):
    hypervisor.define(XML)
    hypervisor.start(NAME)
    hypervisor.undefine(NAME)
    assert hypervisor.find(NAME) is not None
    removal.forget(hypervisor, NAME)
    assert hypervisor.find(NAME) is None


def test_a_machine_that_never_was_is_gone_already(hypervisor: LibvirtHypervisor):
    removal.forget(hypervisor, NAME)
    assert hypervisor.find(NAME) is None
