"""`lab.images.cloud.initrd`: what it loads, and in which order."""

import gzip
import lzma
from pathlib import Path

import pytest

from lab.images.cloud import initrd
from lab.images.cloud.initrd import Entry

KERNEL = "6.1.0-test"
DEPENDENCIES = """\
kernel/block/virtio_blk.ko: kernel/virtio/virtio_ring.ko kernel/virtio/virtio.ko
kernel/virtio/virtio_ring.ko: kernel/virtio/virtio.ko
kernel/virtio/virtio.ko:
kernel/virtio/virtio-pci.ko.xz: kernel/virtio/virtio.ko
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with busybox and a few modules, one of them compressed."""
    modules = tmp_path / "lib" / "modules" / KERNEL
    modules.mkdir(parents=True)
    (modules / "modules.dep").write_text(DEPENDENCIES)
    for line in DEPENDENCIES.splitlines():
        path = modules / line.partition(":")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        content = f"<{path.name.partition('.')[0]}>".encode()
        path.write_bytes(lzma.compress(content) if path.suffix == ".xz" else content)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "busybox").write_bytes(b"<busybox>")
    return tmp_path


def test_a_module_comes_after_what_it_needs_and_only_once(root: Path):
    archive = gzip.decompress(initrd.make(root, KERNEL, ("virtio_blk", "virtio_pci")))

    found = [archive.index(name) for name in (b"<virtio>", b"<virtio_ring>", b"<virtio_blk>")]
    assert found == sorted(found)
    assert archive.count(b"<virtio>") == 1
    assert b"<virtio-pci>" in archive  # decompressed: busybox can't
    assert archive.count(b"insmod") == 4


def test_what_the_kernel_has_built_in_is_left_out(root: Path):
    archive = gzip.decompress(initrd.make(root, KERNEL, ("ext4",)))

    assert b"insmod" not in archive


def test_the_same_files_make_the_same_initrd(root: Path):
    assert initrd.make(root, KERNEL, ("virtio_blk",)) == initrd.make(root, KERNEL, ("virtio_blk",))


def test_an_archive_is_aligned_and_ends_as_the_kernel_expects():
    packed = initrd.archive((Entry("a", 0o100644, b"12345"),))

    assert packed.startswith(b"070701")
    assert len(packed) % 4 == 0
    assert b"TRAILER!!!" in packed
