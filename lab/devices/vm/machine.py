"""
A machine of the lab as scores: its disk, its domain, and that it has booted.

The disk is an overlay on a read-only image, which it remembers: a newer image is for new disks.
The ledger knows a domain before it is defined, and is told of every power on.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from fleet import errors
from fleet.scores.kvm import domains
from fleet.scores.kvm.domains import DirectBoot, Disk, Domain, NetworkRef, VmInterface
from fleet.scores.kvm.hypervisor import Power
from fleet.scores.kvm.libvirt import LibvirtHypervisor
from fleet.scores.score import Score
from lab.devices.vm import device as devices
from lab.devices.vm import removal
from lab.devices.vm.boot import evidence, timeouts
from lab.devices.vm.boot.progress import Boot, Follower, ssh
from lab.devices.vm.boot.timeouts import Step
from lab.devices.vm.device import Places, VmDevice
from lab.devices.vm.hypervisor import accelerators, daemon
from lab.devices.vm.hypervisor.admission import Gate
from lab.errors import LabError, PartDied
from lab.host.lab_host import LabHost, read_json, write_json
from lab.host.ledger import Entry, Kind
from lab.images.cloud import cache, catalogue
from lab.images.cloud.cache import Stored
from lab.system import commands, waiting

OWNER = "fleet-lab"
_CONSOLES: Mapping[str, str] = {"x86_64": "ttyS0", "aarch64": "ttyAMA0"}


@dataclass(frozen=True, slots=True)
class Base:
    """The image that a disk stands on."""

    digest: str
    disk: Path
    kernel: Path
    initrd: Path


@dataclass(frozen=True)
class DiskScore(Score[LabHost]):
    """*device* has a disk of its own, over an image of the cache."""

    device: VmDevice

    @property
    def name(self) -> str:
        return f"disk {self.device.id}"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        where = devices.places(topology, self.device.id)
        base = base_of(topology, self.device.id)
        if base is None or not where.disk.exists():
            return (f"{where.disk} is missing",)
        if not base.disk.exists():
            return (f"the image {base.digest} that it stands on is gone",)
        entry = find(topology, self.device.id)
        return ("the first boot from it failed",) if entry and entry.facts.get("spoilt") else ()

    def bring_about(self, topology: LabHost) -> None:
        where = devices.places(topology, self.device.id)
        where.root.mkdir(mode=0o711, parents=True, exist_ok=True)
        with cache.held(catalogue.find(self.device.image), topology.saw) as stored:
            _lay_over(stored, where)
        if find(topology, self.device.id) is not None:  # it has yet to be on with this disk
            topology.ledger.note(
                Kind.DOMAIN, self.device.id, digest="", booted=False, set_up="", spoilt=False
            )


def _lay_over(stored: Stored, where: Places) -> None:
    """Make the disk of *where*, over an image that is held until it has its name."""
    if stored.kernel is None or stored.initrd is None:
        message = f"image {stored.image.name} has no kernel to boot directly"
        raise LabError(message, element=stored.image.name)
    base = Base(stored.digest, stored.disk, stored.kernel, stored.initrd)
    write_json(where.base, {key: str(value) for key, value in asdict(base).items()})
    draft = where.disk.with_suffix(".new")
    commands.run(
        "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(base.disk), str(draft)
    )
    draft.replace(where.disk)


def base_of(topology: LabHost, device: str) -> Base | None:
    """Return the image that the disk of *device* stands on, once it has a disk."""
    found = read_json(devices.places(topology, device).base)
    if not found:
        return None
    return Base(found["digest"], Path(found["disk"]), Path(found["kernel"]), Path(found["initrd"]))


@dataclass(frozen=True)
class MachineScore(Score[LabHost]):
    """
    *device* is on, and its agent is set up.

    A machine that is on but doesn't answer is given the rest of its budget, not switched off.
    """

    device: VmDevice
    gate: Gate

    @property
    def name(self) -> str:
        return f"machine {self.device.id}"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        entry = find(topology, self.device.id)
        if entry is None:
            return ("it was never on",)
        if entry.facts.get("digest") != self._digest(topology):
            return ("it is to be another machine",)
        if why := off(topology, self.device.id):
            return (why,)
        if not entry.facts.get("booted"):
            return ("it has not booted yet",)
        missing = waiting.look(ssh(devices.address(topology, self.device)))
        return (f"it doesn't answer: {missing}",) if missing else ()

    def bring_about(self, topology: LabHost) -> None:
        with daemon.connect(topology) as hypervisor:
            wanted = self._domain(topology)
            within = topology.budget(timeouts.whole(wanted.arch, wanted.accelerator))
            with self.gate.admitted(
                self.device.id, self.device.memory_mib, within=within, saw=topology.saw
            ):
                if not self._goes_on(topology, hypervisor, wanted):
                    self._switch_on(topology, hypervisor, wanted)
                self._follow(topology, hypervisor, wanted)

    def _goes_on(self, topology: LabHost, hypervisor: LibvirtHypervisor, wanted: Domain) -> bool:
        """Tell whether it is on as wanted; let it run where somebody paused it, and left."""
        entry = find(topology, self.device.id)
        if entry is None or entry.facts.get("digest") != self._digest(topology):
            return False
        found = hypervisor.find(wanted.name)
        if found is not None and found.state is Power.PAUSED:
            hypervisor.resume(wanted.name)
        return not _off(hypervisor, wanted.name)

    def _switch_on(self, topology: LabHost, hypervisor: LibvirtHypervisor, wanted: Domain) -> None:
        log = topology.log(self.device.serial_part)
        log.parent.mkdir(parents=True, exist_ok=True)
        topology.ledger.intend(
            Kind.DOMAIN, self.device.id, uri=daemon.uri(topology), domain=wanted.name,
            pid_file=str(daemon.pid_file(topology, wanted.name)),
            digest=self._digest(topology), serial_begins=_size(log), booted=False,
        )  # fmt: skip
        removal.forget(hypervisor, wanted.name)
        hypervisor.define(domains.xml(wanted))
        hypervisor.start(wanted.name)

    def _follow(self, topology: LabHost, hypervisor: LibvirtHypervisor, wanted: Domain) -> None:
        entry = find(topology, self.device.id)
        facts = entry.facts if entry else {}
        boot = Boot(
            name=self.device.id,
            address=devices.address(topology, self.device),
            arch=wanted.arch,
            accelerator=wanted.accelerator,
            log=topology.log(self.device.serial_part),
            begins=facts.get("serial_begins", 0),
            off=lambda: _off(hypervisor, wanted.name),
            sets_up=not facts.get("set_up"),
        )
        follower = Follower(boot, topology.saw, topology.budget)
        try:
            took = follower.follow()
        except LabError as exc:
            exc.log = evidence.gather(topology, self.device, boot, hypervisor, exc)
            exc.hint = exc.hint or f"invoke lab.console {self.device.id}; lab.up tries again"
            # What was set up half at a first boot is no disk to go on with (`DiskScore`).
            spoilt = boot.sets_up and isinstance(exc, PartDied)
            topology.ledger.note(Kind.DOMAIN, self.device.id, spoilt=spoilt)
            raise
        _record(topology, boot, took)
        seeded = devices.places(topology, self.device.id).seeded
        set_up = seeded.read_text() if boot.sets_up else facts["set_up"]
        topology.ledger.note(Kind.DOMAIN, self.device.id, booted=True, set_up=set_up)

    def _domain(self, topology: LabHost) -> Domain:
        return domain(topology, self.device)

    def _digest(self, topology: LabHost) -> str:
        if base_of(topology, self.device.id) is None:
            return ""
        text = domains.xml(self._domain(topology))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def domain(topology: LabHost, device: VmDevice) -> Domain:
    """
    Describe *device* to libvirt.

    :raises LabError: it has no disk yet.
    """
    base = base_of(topology, device.id)
    if base is None:
        raise LabError(f"{device.id} has no disk yet", element=device.id)
    where = devices.places(topology, device.id)
    return Domain(
        name=devices.domain_name(topology, device.id),
        uuid=devices.domain_uuid(topology, device.id),
        owner=f"{OWNER}:{topology.state}",
        arch=device.arch,
        accelerator=accelerators.chosen(base.kernel),
        memory_mib=device.memory_mib,
        vcpus=devices.VCPUS,
        boot=DirectBoot(base.kernel, base.initrd, command_line(device)),
        disks=(
            Disk(where.disk, expendable=True),
            Disk(where.seed, "raw", read_only=True),  # virtio: what the image's initrd has
        ),
        interfaces=(
            VmInterface(
                mac=devices.mac(topology, device),
                network=NetworkRef(bridge=topology.addresses.bridge),
                target=topology.addresses.link(device.index),
            ),
        ),
        serial_log=topology.log(device.serial_part),
    )


def command_line(device: VmDevice) -> str:
    """Return what the kernel is told: a panic is a reset, which the serial log shows."""
    console = _CONSOLES[device.arch]
    return f"root=LABEL=root ro console={console} panic=-1"


def find(topology: LabHost, device: str) -> Entry | None:
    """Return what the ledger knows of the domain of *device*."""
    return topology.ledger.find(Kind.DOMAIN, device)


def off(topology: LabHost, device: str) -> str:
    """Say why *device* is off, or why nobody knows; nothing when it is on."""
    try:
        with daemon.connect(topology) as hypervisor:
            return _off(hypervisor, devices.domain_name(topology, device))
    except errors.HypervisorUnavailable as exc:
        return str(exc)


def _off(hypervisor: LibvirtHypervisor, name: str) -> str:
    found = hypervisor.find(name)
    if found is None:
        return "libvirt knows no such machine"
    if found.is_running:
        return ""
    return f"the machine is {found.state} ({found.reason})"


def _record(topology: LabHost, boot: Boot, took: Mapping[Step, float]) -> None:
    """Append to the boots of this lab: where the figures of docs/benchmarks.md come from."""
    line = {
        "device": boot.name,
        "arch": boot.arch,
        "accelerator": boot.accelerator,
        "first": boot.sets_up,
        "seconds": {step: round(seconds, 2) for step, seconds in took.items()},
    }
    with (topology.logs / "boots.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
