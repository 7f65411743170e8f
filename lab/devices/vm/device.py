"""What a machine of the lab is: its names, its addresses, its files. Decides only."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fleet.scores.device.configuration import HEARTBEAT_INTERVAL
from fleet.scores.kvm.addresses import MacAddress
from fleet.scores.linux.architecture import Arch
from lab.host.lab_host import LabHost
from lab.images.cloud.catalogue import Image

ADMIN = "fleet-admin"
DEFAULT_MEMORY_MIB = 768
VCPUS = 2

_PYTHONS: Mapping[str, str] = {"bookworm": "3.11", "trixie": "3.13"}
_NAMESPACE = uuid.UUID("5b1f3c1e-6b7a-4d0e-9a55-2f1c8f6d2c10")  # ours, drawn once


@dataclass(frozen=True, slots=True)
class VmDevice:
    """One machine: number *index* of the lab, and what it is to know of the hub."""

    id: str
    index: int
    labels: Mapping[str, str]
    nats_url: str
    credentials: Path
    registry: str
    arch: Arch
    image: str
    memory_mib: int = DEFAULT_MEMORY_MIB
    heartbeat_interval: int = HEARTBEAT_INTERVAL

    @property
    def serial_part(self) -> str:
        """Return the name of its serial log, as `lab.logs --part` takes it."""
        return f"serial-{self.id}"


@dataclass(frozen=True, slots=True)
class Places:
    """The files of a machine, all in one directory of the lab."""

    root: Path

    @property
    def disk(self) -> Path:
        """Return its disk: an overlay on the image, which is read-only."""
        return self.root / "disk.qcow2"

    @property
    def seed(self) -> Path:
        """Return what cloud-init reads at the first boot."""
        return self.root / "seed.iso"

    @property
    def seeded(self) -> Path:
        """Return the note of what set-up the seed holds, as a digest."""
        return self.root / "seed.digest"

    @property
    def host_key(self) -> Path:
        """Return its SSH host key, ours before it is the machine's: so it is pinned beforehand."""
        return self.root / "ssh_host_ed25519_key"

    @property
    def known_hosts(self) -> Path:
        """Return the pin of the host key, for SSH clients."""
        return self.root / "known_hosts"

    @property
    def base(self) -> Path:
        """Return the note of what image the disk stands on."""
        return self.root / "image.json"


def python_of(image: Image) -> str:
    """Return the Python that *image* has."""
    return _PYTHONS[image.release]


def places(topology: LabHost, device: str) -> Places:
    """Return where *device* keeps its files."""
    return Places(topology.state / "devices" / device)


def address(topology: LabHost, device: VmDevice) -> str:
    """Return the address of *device*."""
    return str(topology.addresses.device(device.index))


def mac(topology: LabHost, device: VmDevice) -> MacAddress:
    """Return the hardware address of *device*: QEMU's own prefix, then lab and device."""
    return MacAddress(f"52:54:00:d5:{topology.addresses.number:02x}:{device.index:02x}")


def domain_name(topology: LabHost, device: str) -> str:
    """Return the name of the domain in libvirt."""
    return f"fleet-{topology.name}-{device}"


def domain_uuid(topology: LabHost, device: str) -> uuid.UUID:
    """Return the domain's id: the same as long as the lab is, so that a save can be restored."""
    return uuid.uuid5(_NAMESPACE, f"{topology.state}/{device}")
