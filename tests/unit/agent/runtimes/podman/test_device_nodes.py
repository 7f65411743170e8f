"""`device_nodes`: what is a node, lies in /dev, and is no way to the disks."""

import os
import stat
from pathlib import Path

import pytest

from fleet import errors
from fleet.agent.runtimes.podman import mounts
from fleet.agent.runtimes.podman.device_nodes import DeviceNodes
from fleet.contracts.container_fields import DeviceNode

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes device nodes")

TTY, DISK, SG, MEM, USB, USB_DISK = (4, 64), (8, 1), (21, 0), (1, 1), (189, 1), (189, 2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A /dev and a /sys, in small."""
    dev = tmp_path / "dev"
    (dev / "serial/by-id").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    node(dev / "ttyS0", TTY)
    node(dev / "sda1", DISK, stat.S_IFBLK)
    node(dev / "sg0", SG)
    node(dev / "mem", MEM)
    node(dev / "usb", USB)
    node(dev / "usb-disk", USB_DISK)
    node(tmp_path / "etc/tty", TTY)
    node(dev / "a:b", TTY)
    (dev / "file").touch()
    os.mkfifo(dev / "fifo")
    for link, target in {
        "serial/by-id/usb-1": "../../ttyS0",
        "twice": "serial/by-id/usb-1",
        "absolute": f"{dev}/ttyS0",
        "out": "../etc/tty",
        "up": "..",
        "disk": "sda1",
        "dangling": "ttyUSB9",
        "self": "self",
    }.items():
        (dev / link).symlink_to(target)
    subsystem(tmp_path, TTY, "tty")
    subsystem(tmp_path, SG, "scsi_generic")
    subsystem(tmp_path, USB, "usb", interfaces=("03", "0a"))
    subsystem(tmp_path, USB_DISK, "usb", interfaces=("03", "08"))
    return tmp_path


def node(path: Path, number: tuple[int, int], kind: int = stat.S_IFCHR) -> None:
    os.mknod(path, 0o600 | kind, os.makedev(*number))


def subsystem(
    root: Path, number: tuple[int, int], name: str, *, interfaces: tuple[str, ...] = ()
) -> None:
    """Say in /sys what kind of device a number is."""
    device = root / f"sys/dev/char/{number[0]}:{number[1]}"
    device.mkdir(parents=True)
    (root / "sys/class" / name).mkdir(parents=True, exist_ok=True)
    (device / "subsystem").symlink_to(root / "sys/class" / name)
    for count, each in enumerate(interfaces):
        (device / f"1-1:1.{count}").mkdir()
        (device / f"1-1:1.{count}/bInterfaceClass").write_text(f"{each}\n")


def nodes(root: Path, *allowed: str) -> DeviceNodes:
    return DeviceNodes(tuple(root / each for each in allowed), dev=root / "dev", sys=root / "sys")


@pytest.mark.parametrize("path", ["ttyS0", "serial/by-id/usb-1", "twice", "absolute"])
def test_a_node_is_found_by_each_of_its_names_and_is_one(root: Path, path: str):
    found = nodes(root).at(str(root / "dev" / path), element="a")
    assert (found.path, found.number) == (root / "dev/ttyS0", "c4:64")


def test_a_device_of_usb_may_be_had_whole_where_it_is_no_disk(root: Path):
    assert nodes(root).at(str(root / "dev/usb")).number == "c189:1"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("serial", "is a directory: name each node"),
        ("file", "is not a device node"),
        ("fifo", "is not a device node"),
        ("out", "leads out of"),
        ("up/etc/tty", "leads out of"),
        ("up/dev/../etc/tty", "leads out of"),
        ("self", "is a symlink to itself"),
        ("sda1", "reaches a disk"),
        ("disk", r"\(which is .*/sda1\) reaches a disk"),
        ("sg0", "reaches a disk"),
        ("usb-disk", "reaches a disk"),
        ("mem", "reaches the memory"),
        ("a:b", "':' in its name"),
    ],
)
def test_what_may_not_be_had_is_refused_with_why(root: Path, path: str, why: str):
    with pytest.raises(errors.DeviceForbidden, match=why) as refusal:
        nodes(root).at(f"{root}/dev/{path}", element="a")
    assert f"{root}/dev/{path}" in str(refusal.value)
    assert refusal.value.element == "a"


@pytest.mark.parametrize("path", ["none", "none/below", "dangling", "ttyS0/below"])
def test_what_is_not_there_is_waited_for(root: Path, path: str):
    with pytest.raises(errors.DeviceMissing, match=f"{path}.* is not there.*waits for it"):
        nodes(root).at(f"{root}/dev/{path}", element="a")


def test_a_link_that_udev_removes_while_it_is_looked_at_is_waited_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    readlink = Path.readlink

    def gone(link: Path) -> Path:
        link.unlink()
        return readlink(link)

    monkeypatch.setattr(Path, "readlink", gone)
    with pytest.raises(errors.DeviceMissing, match="disk is not there"):
        nodes(root).at(f"{root}/dev/disk")


@pytest.mark.parametrize("allowed", ["dev/sda1", "dev/disk", "dev"])
def test_the_owner_of_the_device_may_allow_a_disk_by_any_name(root: Path, allowed: str):
    assert nodes(root, allowed).at(f"{root}/dev/disk").number == "b8:1"


def test_the_owner_of_the_device_may_allow_a_disk_of_usb(root: Path):
    assert nodes(root, "dev/usb-disk").at(f"{root}/dev/usb-disk").number == "c189:2"


def test_what_the_owner_allows_is_that_alone(root: Path):
    with pytest.raises(errors.DeviceForbidden, match="reaches a disk"):
        nodes(root, "dev/sda1").at(f"{root}/dev/sg0")


@pytest.mark.parametrize(("uid", "refused"), [(0, False), (65_534, True)])
def test_without_root_a_node_that_podman_could_not_open_is_refused(uid: int, refused: bool):
    """By effective id, as the kernel does."""
    private = Path("/dev/fleet-unit-test-private")
    private.unlink(missing_ok=True)
    node(private, TTY)
    found = DeviceNodes(is_rootless=True)
    os.seteuid(uid)
    try:
        if refused:
            with pytest.raises(errors.DeviceForbidden, match="may not be opened by the user that"):
                found.find(DeviceNode(path=str(private)), element="a")
            found.find(DeviceNode(path=str(private), permissions="m"), element="a")
        else:
            assert found.find(DeviceNode(path=str(private)), element="a").number == "c4:64"
    finally:
        os.seteuid(0)
        private.unlink()


def test_the_kind_of_what_is_mounted_at_dev_is_that_of_the_last_mount():
    kernels = "3 24 0:6 / /dev rw - devtmpfs udev rw"
    own = "9 3 0:40 / /dev rw,nosuid master:1 - tmpfs tmpfs rw"
    assert mounts.kind(f"{kernels}\n{own}\n", Path("/dev")) == "tmpfs"
    assert mounts.kind(f"{kernels}\n", Path("/dev")) == "devtmpfs"
    assert mounts.kind("odd\n", Path("/dev")) == ""
