"""
Fields of a service that are objects of their own: device nodes, file systems in memory, small
files, names of hosts, the log. `scores` puts them into a service.

What several of them have to agree on is `check_targets`: each has a place of its own in the
container.
"""

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from fleet.contracts import checking
from fleet.contracts.patterns import whole

# Of all files of a service. The whole score has its own bound: what its bucket takes.
MAX_FILES_BYTES = 64 * 1024
EVERY_PERMISSION = "rwm"

Path = Annotated[str, Meta(min_length=1, max_length=512)]
Quantity = Annotated[str, Meta(min_length=1, max_length=16)]
IpAddress = Annotated[str, Meta(max_length=39, pattern=whole("^[0-9a-fA-F:.]+$"))]
HostName = Annotated[str, Meta(min_length=1, max_length=63)]
DevicePath = Annotated[str, Meta(min_length=1, max_length=256)]
Permissions = Annotated[str, Meta(min_length=1, max_length=3)]
Mode = Annotated[str, Meta(min_length=1, max_length=4)]
Content = Annotated[str, Meta(max_length=MAX_FILES_BYTES)]


class DeviceNode(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """
    One device node of the device that a service may use.

    * path: Absolute path of the node, below /dev, without '.' and '..', at most 256 characters,
      such as /dev/ttyUSB0; a symlink that stays in /dev is followed, such as
      /dev/serial/by-id/usb-…. While it isn't there the service waits (DeviceMissing). What is no
      node, or a disk of the device, is refused (DeviceForbidden).
    * container_path: Where the node appears in the container, at most 256 characters, without ':'.
      Needed where path has a ':'. Default: the same as path.
    * permissions: What the service may do: some of r (read), w (write) and m (mknod), in that
      order. Default: rwm.
    * shared: Whether other services of the device may have the node at the same time, if they say
      so too. Default: false; a service waits until no other has the node (DeviceInUse).
    """

    path: DevicePath
    container_path: DevicePath | None = None
    permissions: Permissions = EVERY_PERMISSION
    shared: bool = False

    @property
    def target(self) -> str:
        """Where the node appears in the container."""
        return self.container_path or self.path

    def __post_init__(self) -> None:
        checking.DEVICE_PATH.check("path", self.path)
        checking.CONTAINER_PATH.check("containerPath", self.target)
        checking.PERMISSIONS.check("permissions", self.permissions)


class Tmpfs(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """
    A file system in memory, lost with the container. It counts towards the limit of memory.

    * path: Where it appears in the container: an absolute path below /, without '.' and '..', at
      most 512 characters. What the image has there is copied into it.
    * size: Most that it holds: a whole number with a unit of Ki, Mi, Gi, k, M or G, such as 64Mi.
      Default: half of the device's memory.
    * mode: Permissions of its root, as three or four octal digits in quotes, such as "0755".
      Default: "1777".
    """

    path: Path
    size: Quantity = ""
    mode: Mode = "1777"

    def __post_init__(self) -> None:
        checking.MOUNT_PATH.check("path", self.path)
        checking.DIRECTORY_MODE.check("mode", self.mode)
        if self.size:
            checking.MEMORY.check("size", self.size)


class File(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """
    A small text file that the container may only read, such as a configuration.

    * path: Where it appears in the container: an absolute path below /, without '.' and '..', at
      most 512 characters.
    * content: What it says, as UTF-8. All files of a service have 65536 bytes at most together.
    * mode: Permissions, as three or four octal digits in quotes, such as "0400"; its owner is root
      in the container. Default: "0444".
    """

    path: Path
    content: Content
    mode: Mode = "0444"

    def __post_init__(self) -> None:
        checking.MOUNT_PATH.check("path", self.path)
        checking.FILE_MODE.check("mode", self.mode)


class ExtraHost(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """
    One line of the container's /etc/hosts.

    * hostname: Name of the host, at most 63 characters: letters, digits, '-' and '.'.
    * ip: Its IPv4 or IPv6 address, at most 39 characters.
    """

    hostname: HostName
    ip: IpAddress

    def __post_init__(self) -> None:
        checking.HOST_NAME.check("hostname", self.hostname)
        checking.ip_address("ip", self.ip)


class Logs(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """
    How the output of a service is kept.

    * max_size: Most that its log takes on the disk, where the log is a file: a whole number with a
      unit of Ki, Mi, Gi, k, M or G, such as 10Mi. Default: [podman] log_max_size of the agent's
      configuration, 30Mi unless set.
    """

    max_size: Quantity = ""

    def __post_init__(self) -> None:
        if self.max_size:
            checking.MEMORY.check("maxSize", self.max_size)


def check_targets(
    volumes: Iterable[str],
    tmpfs: Iterable[Tmpfs],
    files: Iterable[File],
    nodes: Iterable[DeviceNode],
) -> None:
    """
    Check that everything has a place of its own in the container.

    :raises ValueError: two things at one path, or one in a file or a device node.
    """
    leaves = [*(file.path for file in files), *(node.target for node in nodes)]
    targets = [*volumes, *(each.path for each in tmpfs), *leaves]
    checking.unique("path in the container", targets)
    for leaf in leaves:
        for target in targets:
            if target.startswith(f"{leaf}/"):
                raise ValueError(f"path in the container: {target!r} lies in the file {leaf!r}")


def check_files(files: Iterable[File]) -> None:
    """
    Check how much all files of a service hold.

    :raises ValueError: more than `MAX_FILES_BYTES`.
    """
    size = sum(len(file.content.encode()) for file in files)
    if size > MAX_FILES_BYTES:
        raise ValueError(
            f"files: {size} bytes in all; at most {MAX_FILES_BYTES} are allowed: mount a volume"
        )
