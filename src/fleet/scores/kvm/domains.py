"""
What is wanted of a virtual machine, and its XML for libvirt. Decides only: no I/O.

A domain carries its owner in its metadata, and so is known again as ours. What makes a guest boot
fast, or at all, is written here once: the machine, the processor, no display, no USB; its serial
console is a terminal and a file both.
"""

import enum
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, assert_never
from uuid import UUID
from xml.etree import ElementTree as ET

from fleet import errors
from fleet.scores.kvm.addresses import MacAddress
from fleet.scores.kvm.elements import element, metadata, text_of
from fleet.scores.linux.architecture import Arch

INTERFACE_NAME_MAX = 15  # the kernel's


class Accelerator(enum.StrEnum):
    """What runs a guest's instructions: QEMU's translator, or the processor itself."""

    TCG = "tcg"
    KVM = "kvm"


class Firmware(enum.StrEnum):
    """What starts a guest that boots from its own disk."""

    BIOS = "bios"
    UEFI = "uefi"


@dataclass(frozen=True, slots=True)
class DirectBoot:
    """A kernel that is started as it is, from files of the host."""

    kernel: Path
    initrd: Path | None = None
    command_line: str = ""


Boot: TypeAlias = DirectBoot | Firmware
Medium: TypeAlias = Literal["disk", "cdrom"]


@dataclass(frozen=True, slots=True)
class NetworkRef:
    """What an interface is plugged into: a *bridge* of the host, or a *network* of libvirt."""

    bridge: str = ""
    network: str = ""

    def __post_init__(self) -> None:
        if bool(self.bridge) == bool(self.network):
            raise errors.InvalidConfig(
                "an interface is plugged into a bridge or into a network: name one of the two",
                element=self.bridge,
            )


@dataclass(frozen=True, slots=True)
class VmInterface:
    """A network card. *target* names the host's end, which libvirt chooses otherwise."""

    mac: MacAddress
    network: NetworkRef
    link_up: bool = True
    target: str | None = None

    def __post_init__(self) -> None:
        if self.target is not None and not 0 < len(self.target) <= INTERFACE_NAME_MAX:
            raise errors.InvalidConfig(
                f"{self.target!r} can't name an interface: 1 to {INTERFACE_NAME_MAX} characters",
                element=self.target,
            )


@dataclass(frozen=True, slots=True)
class Disk:
    """
    A file of the host that the guest sees as a disk.

    An *expendable* one is not flushed when the guest asks for it: quicker, and lost when the
    host crashes, though not when the guest does.
    """

    path: Path
    format: str = "qcow2"
    read_only: bool = False
    kind: Medium = "disk"
    expendable: bool = False


@dataclass(frozen=True, slots=True)
class Domain:
    """
    A virtual machine, as it is wanted.

    *owner* says who made it: the name of a lab, of a site. *translation_mib* bounds what TCG
    keeps of translated code; QEMU alone would take up to a gibibyte per guest.
    """

    name: str
    uuid: UUID
    owner: str
    arch: Arch
    accelerator: Accelerator
    memory_mib: int
    vcpus: int
    boot: Boot
    serial_log: Path
    disks: tuple[Disk, ...] = ()
    interfaces: tuple[VmInterface, ...] = ()
    reboots: bool = True
    panic_device: bool = False
    translation_mib: int = 256

    def __post_init__(self) -> None:
        broken = _broken_rule(self)
        if broken:
            raise errors.InvalidConfig(f"domain {self.name!r}: {broken}", element=self.name)


def xml(domain: Domain) -> str:
    """Write *domain* as libvirt reads it."""
    kind = "kvm" if domain.accelerator is Accelerator.KVM else "qemu"
    root = element("domain", {"type": kind})
    root.extend(
        [
            element("name", text=domain.name),
            element("uuid", text=str(domain.uuid)),
            metadata(domain.owner),
            element("memory", {"unit": "KiB"}, text=str(domain.memory_mib * 1024)),
            element("vcpu", text=str(domain.vcpus)),
            _os(domain),
            _features(domain),
            _cpu(domain),
            element("on_poweroff", text="destroy"),
            element("on_reboot", text="restart" if domain.reboots else "destroy"),
            element("on_crash", text="destroy"),
            element("devices", None, *_devices(domain)),
        ]
    )
    return text_of(root)


def _broken_rule(domain: Domain) -> str:
    if not domain.name or "/" in domain.name or domain.name != domain.name.strip():
        return "a name has no slash, and no space around it"
    if not domain.owner:
        return "it needs an owner, or nobody may ever change it"
    if domain.memory_mib < 1 or domain.vcpus < 1:
        return "it needs memory and a processor"
    paths = [disk.path for disk in domain.disks] + [domain.serial_log]
    for path in paths:
        if not path.is_absolute():
            return f"{path} must be absolute: libvirt has another working directory"
    macs = [interface.mac for interface in domain.interfaces]
    if len(set(macs)) < len(macs):
        return "two of its interfaces have the same hardware address"
    return ""


def _os(domain: Domain) -> ET.Element:
    machine = {Arch.X86_64: "pc", Arch.AARCH64: "virt"}[domain.arch]  # q35 boots more slowly
    kind = element("type", {"arch": domain.arch, "machine": machine}, text="hvm")
    match domain.boot:
        case Firmware.UEFI:
            return element("os", {"firmware": "efi"}, kind, element("boot", {"dev": "hd"}))
        case Firmware.BIOS:
            return element("os", None, kind, element("boot", {"dev": "hd"}))
        case DirectBoot() as direct:
            return element("os", None, kind, *_direct(direct))
        case _:
            assert_never(domain.boot)


def _direct(boot: DirectBoot) -> Iterator[ET.Element]:
    yield element("kernel", text=str(boot.kernel))
    if boot.initrd is not None:
        yield element("initrd", text=str(boot.initrd))
    if boot.command_line:
        yield element("cmdline", text=boot.command_line)


def _features(domain: Domain) -> ET.Element:
    features = element("features")
    if domain.arch is Arch.X86_64 or domain.boot is Firmware.UEFI:
        features.append(element("acpi"))  # on aarch64, libvirt allows it under UEFI alone
    if domain.arch is Arch.X86_64:
        features.append(element("apic"))
    if domain.accelerator is Accelerator.TCG:
        cache = element("tb-cache", {"unit": "KiB"}, text=str(domain.translation_mib * 1024))
        features.append(element("tcg", None, cache))
    return features


def _cpu(domain: Domain) -> ET.Element:
    if domain.accelerator is Accelerator.KVM:
        return element("cpu", {"mode": "host-passthrough"})
    if domain.arch is Arch.AARCH64:
        # What `maximum` has besides, pointer authentication first, TCG computes dearly.
        model = element("model", {"fallback": "forbid"}, text="cortex-a53")
        return element("cpu", {"mode": "custom", "match": "exact", "check": "none"}, model)
    # Debian 13's kernel (6.12) panics at cmpxchg16b under QEMU 7.2's TCG, two boots of three.
    # May go with QEMU 7.2.
    without = element("feature", {"policy": "disable", "name": "cx16"})
    return element("cpu", {"mode": "maximum", "check": "none"}, without)


def _devices(domain: Domain) -> Iterator[ET.Element]:
    yield from _disks(domain)
    yield from (_interface(interface) for interface in domain.interfaces)
    log = element("log", {"file": str(domain.serial_log), "append": "on"})
    yield element("serial", {"type": "pty"}, log, element("target", {"port": "0"}))
    yield element("rng", {"model": "virtio"}, _entropy())
    yield element("memballoon", {"model": "none"})
    yield element("controller", {"type": "usb", "model": "none"})
    if domain.panic_device and domain.arch is Arch.X86_64:
        yield element("panic", {"model": "isa"})


def _entropy() -> ET.Element:
    return element("backend", {"model": "random"}, text="/dev/urandom")


def _disks(domain: Domain) -> Iterator[ET.Element]:
    """Name the disks ``vda``, ``vdb``, …, and CD-ROMs ``sda`` or ``hda``, each in its order."""
    counts: Counter[Medium] = Counter()
    for disk in domain.disks:
        yield _disk(disk, domain.arch, chr(ord("a") + counts[disk.kind]))
        counts[disk.kind] += 1


def _disk(disk: Disk, arch: Arch, letter: str) -> ET.Element:
    driver = {"name": "qemu", "type": disk.format}
    if disk.expendable:
        driver["cache"] = "unsafe"
    bus, prefix = _bus(disk, arch)
    made = element(
        "disk",
        {"type": "file", "device": disk.kind},
        element("driver", driver),
        element("source", {"file": str(disk.path)}),
        element("target", {"dev": f"{prefix}{letter}", "bus": bus}),
    )
    if disk.read_only or disk.kind == "cdrom":
        made.append(element("readonly"))
    return made


def _bus(disk: Disk, arch: Arch) -> tuple[str, str]:
    if disk.kind == "disk":
        return "virtio", "vd"
    return ("ide", "hd") if arch is Arch.X86_64 else ("scsi", "sd")


def _interface(interface: VmInterface) -> ET.Element:
    network = interface.network
    kind, source = (
        ("bridge", {"bridge": network.bridge})
        if network.bridge
        else ("network", {"network": network.network})
    )
    made = element("interface", {"type": kind}, element("mac", {"address": interface.mac}))
    made.append(element("source", source))
    if interface.target is not None:
        made.append(element("target", {"dev": interface.target}))
    made.append(element("model", {"type": "virtio"}))
    made.append(element("link", {"state": "up" if interface.link_up else "down"}))
    return made
