"""A libvirt of the test's own, with real QEMU."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.scores.kvm.libvirt import LibvirtHypervisor
from fleet.scores.kvm.topology import KvmHostTopology
from fleet.scores.linux.local import LocalMachine
from lab.devices.vm.hypervisor import daemon
from lab.host.lab_host import LabHost
from tests.lab_host import bring_about, needs, whole_lab

PROGRAMS = ("libvirtd", "qemu-system-x86_64", "qemu-img")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests here where their programs are missing."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(needs(*PROGRAMS))
            item.add_marker(pytest.mark.timeout(120))


@pytest.fixture
def lab_host(tmp_path: Path) -> Iterator[LabHost]:
    """The lab that the libvirt is of."""
    with whole_lab(tmp_path / "data") as host:
        bring_about(daemon.scores(host), host)
        yield host


@pytest.fixture
def hypervisor(lab_host: LabHost) -> Iterator[LibvirtHypervisor]:
    """A connection to it; machines that a test leaves are switched off."""
    with daemon.connect(lab_host) as connected:
        yield connected
        for domain in connected.domains():
            connected.destroy(domain.name)


@pytest.fixture
def host(hypervisor: LibvirtHypervisor) -> KvmHostTopology:
    """This machine, with that libvirt."""
    return KvmHostTopology(LocalMachine(), hypervisor)
