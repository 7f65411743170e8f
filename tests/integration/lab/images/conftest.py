"""An image that is a download from a file of this host, in a cache of its own."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from fleet.scores.linux.architecture import Arch
from lab.host.lab_host import read_json, write_json
from lab.images.cloud import cache, catalogue
from lab.images.cloud.catalogue import Download, Image

CONTENT = b"an image" * 100_000


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    """An image that is fetched from a file of this host."""
    monkeypatch.setenv("HARMONY_DATA_DIR", str(tmp_path / "data"))
    published = tmp_path / "published.qcow2"
    published.write_bytes(CONTENT)
    source = Download(url=published.as_uri(), sha256=hashlib.sha256(CONTENT).hexdigest())
    return Image(name="x", arch=Arch.X86_64, release="bookworm", size=1024, source=source)


@pytest.fixture
def bootable(image: Image, monkeypatch: pytest.MonkeyPatch) -> cache.Stored:
    """An image as built ones are: a disk and a kernel; the only one of the catalogue."""
    monkeypatch.setattr(catalogue, "known", lambda: (image,))
    where = cache.ensure(image, lambda _: None).directory
    disk = where / "disk.qcow2"
    disk.unlink()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "1M"], check=True)
    for name in ("vmlinuz", "initrd"):
        (where / name).write_bytes(b"boots")
    sizes = {name: (where / name).stat().st_size for name in ("disk.qcow2", "vmlinuz", "initrd")}
    write_json(where / "image.json", {**read_json(where / "image.json"), "sizes": sizes})
    stored = cache.stored(image)
    assert stored is not None
    return stored
