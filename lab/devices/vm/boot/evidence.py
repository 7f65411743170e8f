"""Gathers what tells why a machine failed, before anything else happens to it."""

import contextlib
from pathlib import Path

from fleet import errors
from fleet.scores.kvm.libvirt import LibvirtHypervisor
from lab.devices.vm import device as devices
from lab.devices.vm.boot import serial_log
from lab.devices.vm.boot.progress import Boot
from lab.devices.vm.device import VmDevice
from lab.devices.vm.hypervisor import daemon
from lab.host import files, processes
from lab.host.lab_host import LabHost


def gather(
    topology: LabHost,
    device: VmDevice,
    boot: Boot,
    hypervisor: LibvirtHypervisor,
    error: BaseException,
) -> Path:
    """Write the evidence of a boot that failed, and return the directory: it outlives the lab."""
    where = topology.logs / "evidence" / device.id
    where.mkdir(parents=True, exist_ok=True)
    files.write(where / "error.txt", f"{error}\n")
    files.write(where / "serial.log", serial_log.plain(boot.said()))
    name = devices.domain_name(topology, device.id)
    with contextlib.suppress(errors.FleetError):  # the daemon may be what failed
        if found := hypervisor.find(name):
            files.write(where / "domain.xml", found.xml)
            files.write(where / "state.txt", f"{found.state} ({found.reason})\n")
    for path in (daemon.machine_log(topology, name), topology.log(daemon.PART)):
        files.write(where / path.name, processes.tail(path, lines=200))
    return where
