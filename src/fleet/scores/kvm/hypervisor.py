"""
The port to a hypervisor: what scores and labs need of libvirt, and no more.

Each verb is safe to say again: starting what runs and destroying what is off do nothing. Every
method raises `errors.HypervisorUnavailable` when libvirt doesn't answer or breaks off, and
`errors.HypervisorRefused` when it refuses for good; names that aren't there are refused.
"""

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

from fleet.scores.kvm.addresses import MacAddress
from fleet.scores.kvm.domains import Accelerator
from fleet.scores.linux.architecture import Arch


class Power(enum.StrEnum):
    """What a domain does."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    OFF = "off"
    CRASHED = "crashed"
    ASLEEP = "asleep"


@dataclass(frozen=True, slots=True)
class DomainState:
    """A domain as it is. *xml* is what it will be when started next; *reason* is libvirt's word."""

    name: str
    uuid: UUID
    state: Power
    reason: str
    xml: str

    @property
    def is_running(self) -> bool:
        """Tell whether its guest's clock goes on."""
        return self.state is Power.RUNNING

    @property
    def is_on(self) -> bool:
        """Tell whether a process of the host stands for it, running or not."""
        return self.state not in {Power.OFF, Power.CRASHED}


@dataclass(frozen=True, slots=True)
class NetworkState:
    """A network of libvirt as it is. *bridge* is empty where it has none."""

    name: str
    uuid: UUID
    is_active: bool
    starts_itself: bool
    bridge: str
    xml: str


@dataclass(frozen=True, slots=True)
class PoolState:
    """A storage pool of libvirt as it is."""

    name: str
    uuid: UUID
    is_active: bool
    starts_itself: bool
    xml: str


@dataclass(frozen=True, slots=True)
class VolumeState:
    """A volume of a pool. Sizes are in bytes; *backing* is the file that it is an overlay of."""

    name: str
    path: Path
    capacity: int
    allocation: int
    backing: Path | None


class Hypervisor(Protocol):
    """A host's libvirt."""

    @property
    def uri(self) -> str:
        """Name where it is reached."""

    def close(self) -> None:
        """Close the connection; the next call would open another."""

    def version(self) -> str:
        """Return libvirt's version: ``9.0.0``."""

    def emulator_version(self) -> str:
        """Return QEMU's version: ``7.2.22``. A saved domain is restored by the same one alone."""

    def runs(self, arch: Arch, accelerator: Accelerator) -> bool:
        """Tell whether it says that it can run such guests. Only a trial tells whether it does."""

    def domains(self) -> tuple[DomainState, ...]:
        """List all domains, by name."""

    def find(self, name: str) -> DomainState | None:
        """Find a domain."""

    def define(self, xml: str) -> None:
        """Make or change the definition of a domain. A running one goes on as it was started."""

    def undefine(self, name: str) -> None:
        """Forget a domain, and what libvirt itself keeps for it. Not its disks."""

    def start(self, name: str, *, paused: bool = False) -> None:
        """Power a domain on."""

    def shut_down(self, name: str) -> None:
        """Press the power button: the guest may take its time, or not heed it."""

    def destroy(self, name: str) -> None:
        """Cut the power."""

    def reboot(self, name: str) -> None:
        """Ask the guest to start again."""

    def reset(self, name: str) -> None:
        """Press the reset button."""

    def suspend(self, name: str) -> None:
        """Stop the clock of a domain."""

    def resume(self, name: str) -> None:
        """Let a suspended domain go on."""

    def save(self, name: str, path: Path) -> None:
        """Write a running domain's memory to *path*, and power it off."""

    def restore(self, path: Path, *, paused: bool = False) -> None:
        """Go on with a domain that was saved to *path*, which stays."""

    def saved_xml(self, path: Path) -> str:
        """Return the definition of the domain that was saved to *path*."""

    def set_link(self, name: str, mac: MacAddress, *, up: bool) -> None:
        """Plug or unplug the cable of one interface, now and for later starts."""

    def console(self, name: str) -> Path:
        """Return the terminal of a running domain's serial console."""

    def find_network(self, name: str) -> NetworkState | None:
        """Find a network."""

    def define_network(self, xml: str) -> None:
        """Make or change the definition of a network. An active one goes on as it was started."""

    def start_network(self, name: str) -> None:
        """Bring a network up, now and whenever libvirt starts."""

    def stop_network(self, name: str) -> None:
        """Take a network down."""

    def undefine_network(self, name: str) -> None:
        """Take a network down, and forget it."""

    def find_pool(self, name: str) -> PoolState | None:
        """Find a storage pool."""

    def define_pool(self, xml: str) -> None:
        """Make the definition of a pool of directory, and the directory."""

    def start_pool(self, name: str) -> None:
        """Open a pool, now and whenever libvirt starts."""

    def undefine_pool(self, name: str) -> None:
        """Close a pool, and forget it. Not its files."""

    def volumes(self, pool: str) -> tuple[VolumeState, ...]:
        """List what is in an open pool, after looking at the disk again."""

    def delete_volume(self, pool: str, name: str) -> None:
        """Delete a volume of a pool."""
