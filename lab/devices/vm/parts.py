"""The parts of a machine of the lab, in order, and what must be there before any machine."""

from collections.abc import Iterable, Sequence

from fleet.scores.kvm.domains import Accelerator
from fleet.scores.score import Score
from lab.devices.vm.agent_bundles import BundleScore
from lab.devices.vm.boot import timeouts
from lab.devices.vm.cloud_image import CloudImageScore
from lab.devices.vm.device import VmDevice
from lab.devices.vm.hypervisor import daemon
from lab.devices.vm.hypervisor.accelerators import AcceleratorScore
from lab.devices.vm.hypervisor.admission import Gate
from lab.devices.vm.machine import DiskScore, MachineScore
from lab.devices.vm.seed import KeysScore, SeedScore
from lab.devices.vm.setup import SetUpScore
from lab.host.lab_host import LabHost

_BUILD = 1800  # seconds that an image may take to be built, which happens once on a host


def ground(topology: LabHost, machines: Sequence[VmDevice]) -> tuple[Score[LabHost], ...]:
    """Return what must be there before the parts of any of *machines*."""
    if not machines:
        return ()
    images = sorted({(machine.image, machine.arch) for machine in machines})
    return (
        *daemon.scores(topology),
        *(CloudImageScore(image) for image, _ in images),
        *(BundleScore(image) for image, _ in images),
        *(AcceleratorScore(arch, image) for image, arch in images),
    )


def scores(device: VmDevice, gate: Gate) -> tuple[Score[LabHost], ...]:
    """Return the parts of *device*, in the order to bring them about."""
    return (
        DiskScore(device),
        KeysScore(device),
        SeedScore(device),
        MachineScore(device, gate),
        SetUpScore(device),
    )


def budget(machines: Iterable[VmDevice]) -> float:
    """Return how many seconds *machines* may take: emulated, on a host with no image yet."""
    found = tuple(machines)
    images = {machine.image for machine in found}
    boots = sum(timeouts.whole(machine.arch, Accelerator.TCG) for machine in found)
    return _BUILD * len(images) + boots
