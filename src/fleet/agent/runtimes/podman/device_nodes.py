"""
Which device nodes a service may have: what is a node, lies in /dev, and is no way to the disks.

Who may write a deployment doesn't own the device: a disk, or the memory, holds the agent's state
and credentials, whatever `host_paths` says of their names. So nodes of disks (every block device,
and the character devices that speak to one raw) and of memory are refused, unless the device's
owner allows them by the same list, `allow` of [host_paths].

Symlinks are followed as long as each step stays in /dev: udev's names (/dev/serial/by-id/…) are
symlinks. Others, such as /dev/fd, are what they are for the agent alone.
"""

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from fleet import errors
from fleet.agent.runtimes.podman import mounts, permissions
from fleet.contracts.container_fields import DeviceNode

_STEPS = 40  # as the kernel follows symlinks
# Of these subsystems every node reaches a disk, or a flash memory, past its file systems.
_RAW = frozenset({"bsg", "mmc_rpmb", "mtd", "nvme", "nvme-generic", "raw", "scsi_generic", "ubi"})
_MEMORY = {(1, 1): "the memory", (1, 2): "the memory of the kernel", (1, 4): "the ports of devices"}
_MASS_STORAGE = "08"  # the class of an interface of USB; also of what speaks UAS


@dataclass(frozen=True, slots=True)
class Node:
    """A device node: *path* without symlinks; *number* says which device it is (c188:0)."""

    path: Path
    number: str


@dataclass(frozen=True, slots=True)
class DeviceNodes:
    """
    Looks device nodes up. Blocks.

    *allowed* may be had though they are disks. Where podman *is_rootless*, its containers open a
    node as the agent's user, who is ours.
    """

    allowed: Collection[Path] = ()
    is_rootless: bool = False
    dev: Path = Path("/dev")
    sys: Path = Path("/sys")

    def find(self, wanted: DeviceNode, *, element: str) -> Node:
        """
        Find the node that *wanted* names.

        :raises errors.DeviceMissing: there is none.
        :raises errors.DeviceForbidden: it is none, leads out of /dev, or may not be had.
        """
        node = self.at(wanted.path, element=element)
        if self.is_rootless and not permissions.may_open(node.path, wanted.permissions):
            what = "may not be opened by the user that podman runs as: have a udev rule allow it"
            raise errors.DeviceForbidden(
                f"device {_told(wanted.path, node.path)} {what}", element=element
            )
        return node

    def at(self, path: str, *, element: str = "") -> Node:
        """Find the node at *path*: `find`, but for permissions."""
        real = self._real(path, element)
        told = _told(path, real)
        try:
            found = real.lstat()
        except OSError as exc:
            what = f"device {told} is not there; the service waits for it{self._hint()}"
            raise errors.DeviceMissing(what, element=element) from exc
        why = self._refusal(real, found)
        if why:
            raise errors.DeviceForbidden(f"device {told} {why}", element=element)
        kind = "b" if stat.S_ISBLK(found.st_mode) else "c"
        return Node(real, f"{kind}{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}")

    def _hint(self) -> str:
        """Say why a node may be there and not be seen: units of before give the agent its own."""
        if self.is_rootless and mounts.is_private(self.dev):
            return (
                f". The agent sees a {self.dev} of its own: set its device up again, for its unit"
            )
        return ""

    def _real(self, path: str, element: str) -> Path:
        """Follow symlinks, each of which has to stay in /dev."""
        place = Path(path)
        for _ in range(_STEPS):
            place = Path(os.path.realpath(place.parent)) / place.name
            if self.dev not in place.parents:
                raise errors.DeviceForbidden(
                    f"device {path} leads out of {self.dev} (to {place}): name a node in there",
                    element=element,
                )
            try:  # one look: udev may remove a link at any time
                target = place.readlink()
            except OSError:
                return place
            # What a process has open is known by its own /proc, which isn't the service's.
            place = Path(os.path.normpath(place.parent / target))
        raise errors.DeviceForbidden(f"device {path} is a symlink to itself", element=element)

    def _refusal(self, real: Path, found: os.stat_result) -> str:
        """Say why the node at *real* may not be had; "" where it may."""
        if stat.S_ISDIR(found.st_mode):
            return "is a directory: name each node"
        if not (stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)):
            return "is not a device node: mount it as a volume by hostPath, if it is a file"
        if ":" in str(real):
            return "has a ':' in its name, which podman can't be told"
        reached = self._reached(found)
        if reached and not any(_is_in(real, each) for each in self.allowed):
            return (
                f"reaches {reached}, and with it what is the agent's own: have the device's owner"
                " add it to allow of [host_paths] in the agent's configuration"
            )
        return ""

    def _reached(self, found: os.stat_result) -> str:
        """Tell what a node gives access to past all file systems; "" for nothing."""
        number = os.major(found.st_rdev), os.minor(found.st_rdev)
        if stat.S_ISBLK(found.st_mode):
            return "a disk"
        if number in _MEMORY:
            return _MEMORY[number]
        device = self.sys / "dev/char" / f"{number[0]}:{number[1]}"
        subsystem = Path(os.path.realpath(device / "subsystem")).name
        if subsystem in _RAW or (subsystem == "usb" and _is_usb_disk(device)):
            return "a disk"
        return ""


def _is_usb_disk(device: Path) -> bool:
    """Tell whether who has a device of USB whole (/dev/bus/usb/…) has a disk by it."""
    return any(_read(each) == _MASS_STORAGE for each in device.glob("*/bInterfaceClass"))


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", errors="replace").strip()
    except OSError:  # unplugged meanwhile: then it reaches nothing
        return ""


def _told(path: str, real: Path) -> str:
    return path if path == str(real) else f"{path} (which is {real})"


def _is_in(path: Path, directory: Path) -> bool:
    real = Path(os.path.realpath(directory))
    return path == real or real in path.parents
