"""The cache of images, with an image that is a download: whole, or made anew, and never halfway."""

import subprocess
import sys
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.images.cloud import cache, overlays, unused_images
from lab.images.cloud.catalogue import Download, Image
from tests.integration.lab.images.conftest import CONTENT
from tests.lab_host import needs


def ensure(image: Image) -> cache.Stored:
    """Have the image, and tell nobody."""
    return cache.ensure(image, lambda _: None)


def test_an_image_is_read_only_whole_and_kept(image: Image):
    stored = ensure(image)

    assert stored.disk.read_bytes() == CONTENT
    assert stored.disk.stat().st_mode & 0o777 == 0o444
    assert cache.verify(stored) == ()
    assert ensure(image) == stored


def test_an_image_that_was_truncated_is_none_and_is_made_anew(image: Image):
    stored = ensure(image)
    stored.disk.chmod(0o644)
    stored.disk.write_bytes(CONTENT[:4])

    assert cache.stored(image) is None
    assert cache.is_incomplete(image)
    assert ensure(image).disk.read_bytes() == CONTENT
    assert not cache.is_incomplete(image)


def test_a_damaged_image_is_named_and_set_aside(image: Image):
    stored = ensure(image)
    stored.disk.chmod(0o644)
    stored.disk.write_bytes(b"!" + CONTENT[1:])

    assert cache.verify(stored) == ("disk.qcow2 is damaged",)
    aside = cache.set_aside(stored)
    assert aside.name.endswith(".damaged")
    assert cache.stored(image) is None


def test_what_was_left_by_one_that_was_killed_does_no_harm(image: Image):
    left = cache.home().parent / "making" / cache.digest_of(image)
    left.mkdir(parents=True)
    (left / "disk.qcow2").write_bytes(b"half")

    assert ensure(image).disk.read_bytes() == CONTENT
    assert not left.exists()


def test_many_may_ask_at_once_and_all_have_the_same(image: Image):
    assert isinstance(image.source, Download)
    program = f"""
from fleet.scores.linux.architecture import Arch
from lab.images.cloud import cache
from lab.images.cloud.catalogue import Download, Image

source = Download(url={image.source.url!r}, sha256={image.source.sha256!r})
image = Image(name="x", arch=Arch.X86_64, release="r", size=1024, source=source)
print(cache.ensure(image, lambda _: None).digest)
"""
    asking = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]

    said = {process.communicate(timeout=60)[0].strip() for process in asking}
    assert said == {image.source.sha256}
    assert cache.stored(image) is not None


def disk_on(stored: cache.Stored) -> Path:
    """Make the disk of a machine of some lab, over *stored*."""
    disk = cache.home().parents[1] / "labs" / "mine" / "devices" / "vm-01" / "disk.qcow2"
    disk.parent.mkdir(parents=True)
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-F", "qcow2", "-b", str(stored.disk),
         str(disk), "1M"],
        check=True,
    )  # fmt: skip
    return disk


@needs("qemu-img")
def test_an_image_that_a_disk_stands_on_is_never_left_over(image: Image):
    stored = ensure(image)
    (unused,) = unused_images.find()
    assert unused.path == stored.directory
    disk = disk_on(stored)

    assert unused_images.find() == ()
    assert not unused_images.remove(unused)
    stored.disk.chmod(0o644)
    stored.disk.write_bytes(CONTENT[:4])
    with pytest.raises(LabError, match=r"damaged, and .*/vm-01/disk\.qcow2 stand on it"):
        ensure(image)
    disk.unlink()
    assert unused_images.remove(unused)
    assert not stored.directory.exists()


@needs("qemu-img")
def test_a_damaged_image_that_a_disk_stands_on_stays_where_it_is(image: Image):
    stored = ensure(image)
    disk = disk_on(stored)

    with pytest.raises(cache.ImageInUse, match=r"/vm-01/disk\.qcow2 stand on it"):
        cache.set_aside(stored)
    assert stored.disk.exists()

    disk.unlink()
    assert (cache.set_aside(stored) / "disk.qcow2").exists()


@needs("qemu-img", "qemu-io")
def test_a_disk_that_a_machine_writes_to_is_seen_too(bootable: cache.Stored):
    disk = disk_on(bootable)
    # A program of QEMU's, at work on it as a machine is: it locks the disk against others.
    with subprocess.Popen(
        ["qemu-io", "-f", "qcow2", str(disk)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writing:
        assert writing.stdin is not None
        assert writing.stdout is not None
        writing.stdin.write(b"write 0 512\n")
        writing.stdin.flush()
        assert b"wrote 512/512" in writing.stdout.readline()

        assert overlays.standing_on(bootable.disk) == str(disk)
        writing.kill()


@needs("qemu-img")
def test_a_disk_that_nobody_can_read_is_named(image: Image):
    disk = disk_on(ensure(image))
    disk.write_bytes(b"QFI\xfbgarbage")

    with pytest.raises(LabError, match=r"vm-01/disk\.qcow2: nobody knows what it stands on"):
        unused_images.find()


@needs("qemu-img")
def test_a_disk_that_goes_while_disks_are_looked_at_stands_on_nothing(image: Image):
    stored = ensure(image)
    disk = disk_on(stored)
    disk.rename(disk.with_name("gone"))
    disk.symlink_to("nowhere")  # listed, and not there when it is asked

    assert overlays.standing_on(stored.disk) == ""
