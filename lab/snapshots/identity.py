"""Identifies what a snapshot of the lab that is here would fit. Needs nothing that runs."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from lab.devices.vm import machine
from lab.devices.vm.device import VmDevice
from lab.devices.vm.hypervisor import accelerators
from lab.errors import PreflightFailed
from lab.host.lab_host import LabHost
from lab.images.cloud import cache, catalogue
from lab.lifecycle.assembly import Assembly
from lab.lifecycle.topology import Device, Topology
from lab.snapshots.keys import Key
from lab.system import commands


def key_of(lab: Assembly, topology: Topology) -> Key:
    """
    Return the key of *lab*, made of *topology*.

    :raises PreflightFailed: there is no QEMU for one of its machines.
    """
    return Key(
        image={each.id: image_of(lab.host, each) for each in lab.machines},
        topology={each.id: described(each) for each in topology.devices},
        qemu=dict(_emulators(lab)),
    )


def _emulators(lab: Assembly) -> Iterator[tuple[str, str]]:
    for arch in sorted({each.arch for each in lab.machines}):
        kernels = {kernel_of(lab.host, each) for each in lab.machines if each.arch is arch}
        ways = {accelerators.chosen(kernel) for kernel in kernels if kernel}
        program = f"qemu-system-{arch}"
        yield program, emulator(program, " ".join(sorted(ways)))


def image_of(host: LabHost, device: VmDevice) -> str:
    """Return the digest of the image that *device*'s disk stands on, or would if it were new."""
    base = machine.base_of(host, device.id)
    if base is not None:
        return base.digest if base.disk.exists() else f"{base.digest}, which is gone"
    stored = cache.stored(catalogue.find(device.image))
    return stored.digest if stored else f"{device.image}, which is not in the cache"


def kernel_of(host: LabHost, device: VmDevice) -> Path | None:
    """Return the kernel that *device* boots, or would if its disk were new."""
    if base := machine.base_of(host, device.id):
        return base.kernel
    stored = cache.stored(catalogue.find(device.image))
    return stored.kernel if stored else None


def emulator(program: str, accelerator: str) -> str:
    """Describe the QEMU called *program*: its version, its digest, and how it runs guests."""
    path = shutil.which(program)
    if path is None:
        raise PreflightFailed(
            f"the program `{program}` is not installed", element=program, hint="invoke lab.doctor"
        )
    first = commands.run(path, "--version").partition("\n")[0]
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{first} (sha256 {digest[:16]}), {accelerator}"


def described(device: Device) -> str:
    """Return the digest of a device of the topology, after what can be told of it in words."""
    digest = hashlib.sha256(msgspec.json.encode(device, order="deterministic")).hexdigest()
    return f"{device.place} {digest[:16]}"
