"""A seed as a disk: what cloud-init finds there, and when it is written anew."""

import io
import stat

import pycdlib
import pytest

from fleet.scores.device.seed_iso import ensure_seed
from fleet.scores.device.seeds import Seed

SEED = Seed("#cloud-config\n{}\n", "{}\n", "", {"setup.json": b"{}", "large": b"x" * 100_000})


def content(path, name):
    iso = pycdlib.PyCdlib()
    iso.open(str(path))
    found = io.BytesIO()
    iso.get_file_from_iso_fp(found, rr_path=f"/{name}")
    iso.close()
    return found.getvalue()


@pytest.fixture
def disk(tmp_path):
    ensure_seed(tmp_path / "seed.iso", SEED)
    return tmp_path / "seed.iso"


def test_every_file_of_the_seed_is_there_by_its_name(disk):
    for name, wanted in SEED.contents().items():
        assert content(disk, name) == wanted


def test_the_disk_has_the_label_that_cloud_init_looks_for(disk):
    iso = pycdlib.PyCdlib()
    iso.open(str(disk))
    assert iso.pvd.volume_identifier.strip() == b"cidata"
    iso.close()


def test_nobody_else_can_read_it(disk):
    assert stat.S_IMODE(disk.stat().st_mode) == 0o600


def test_a_seed_that_is_as_wanted_is_not_written_again(disk):
    before = disk.stat()
    assert not ensure_seed(disk, SEED)
    after = disk.stat()  # to read it may change when it was read last
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_may_come_from_a_path_and_counts_by_its_content(disk, tmp_path):
    (tmp_path / "large").write_bytes(b"x" * 100_000)
    same = Seed(SEED.user_data, SEED.meta_data, "", {**SEED.files, "large": tmp_path / "large"})
    assert not ensure_seed(disk, same)
    (tmp_path / "large").write_bytes(b"y" * 100_000)
    assert ensure_seed(disk, same)
    assert content(disk, "large") == b"y" * 100_000


@pytest.mark.parametrize("left", [b"", b"no disk at all", b"\0" * 100_000])
def test_what_is_no_seed_is_replaced(disk, left):
    disk.write_bytes(left)
    assert ensure_seed(disk, SEED)
    assert content(disk, "setup.json") == b"{}"


def test_a_draft_that_a_kill_left_is_in_nobodys_way(disk):
    (disk.parent / ".seed.iso.new").write_bytes(b"half")
    assert ensure_seed(disk, Seed("#cloud-config\n", "{}\n"))
    assert [path.name for path in disk.parent.iterdir()] == ["seed.iso"]
