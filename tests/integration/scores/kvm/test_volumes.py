"""Disks by the real qemu-img: made once, grown, never shrunk, and never another's."""

from pathlib import Path

import pytest

from fleet import errors
from fleet.scores.kvm.defining import DomainScore, PoolScore
from fleet.scores.kvm.domains import Accelerator, Disk, Domain, Firmware
from fleet.scores.kvm.libvirt import LibvirtHypervisor
from fleet.scores.kvm.networks import identity
from fleet.scores.kvm.pools import HarmonyFleetPool
from fleet.scores.kvm.topology import KvmHostTopology
from fleet.scores.kvm.volumes import VolumeScore
from fleet.scores.linux.architecture import Arch
from fleet.scores.linux.local import LocalMachine
from fleet.scores.linux.machine import run
from fleet.scores.linux.topology import LinuxHostTopology
from fleet.scores.score import Change

MIB = 1 << 20
HERE = LinuxHostTopology.from_local()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A disk that others stand on."""
    path = tmp_path / "base.qcow2"
    VolumeScore(path, size=16 * MIB).interpret(HERE).expect()
    return path


def test_a_disk_is_made_over_its_base_and_a_second_run_leaves_it_alone(tmp_path: Path, base: Path):
    score = VolumeScore(tmp_path / "disks" / "a.qcow2", base)

    assert score.interpret(HERE).expect().change is Change.CHANGED
    before = score.path.stat()
    assert score.interpret(HERE).expect().change is Change.UNCHANGED

    after = score.path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [path.name for path in score.path.parent.iterdir()] == ["a.qcow2"]


def test_libvirt_sees_the_disk_in_its_pool_and_what_it_stands_on(host: KvmHostTopology, base: Path):
    pool = HarmonyFleetPool(base.parent / "pool")
    PoolScore(pool).interpret(host).expect()
    VolumeScore(pool.path / "a.qcow2", base, size=32 * MIB).interpret(host).expect()

    (volume,) = host.hypervisor.volumes(pool.name)

    assert (volume.name, volume.capacity, volume.backing) == ("a.qcow2", 32 * MIB, base)


def test_a_disk_grows_and_never_shrinks(tmp_path: Path, base: Path):
    path = tmp_path / "a.qcow2"
    VolumeScore(path, base).interpret(HERE).expect()

    grown = VolumeScore(path, base, size=32 * MIB).interpret(HERE).expect()
    smaller = VolumeScore(path, base, size=8 * MIB).interpret(HERE).expect()

    assert grown.details == (f"{path} has {16 * MIB} bytes, not {32 * MIB}",)
    assert smaller.change is Change.UNCHANGED


def test_a_run_that_was_killed_leaves_nothing_in_the_way(tmp_path: Path, base: Path):
    (tmp_path / ".a.qcow2.new").write_bytes(b"half")
    score = VolumeScore(tmp_path / "a.qcow2", base)

    assert score.interpret(HERE).expect().change is Change.CHANGED
    assert score.differences(HERE) == ()


@pytest.mark.parametrize("kind", ["another base", "no base", "no qcow2"])
def test_a_file_that_is_not_that_disk_is_refused_and_never_touched(
    tmp_path: Path, base: Path, kind: str
):
    path = tmp_path / "a.qcow2"
    if kind == "another base":
        other = tmp_path / "other.qcow2"
        VolumeScore(other, size=16 * MIB).interpret(HERE).expect()
        VolumeScore(path, other).interpret(HERE).expect()
    elif kind == "no base":
        VolumeScore(path, size=16 * MIB).interpret(HERE).expect()
    else:
        path.write_bytes(b"somebody's notes")
    before = path.read_bytes()

    with pytest.raises(errors.NotOurs, match="move it away first"):
        VolumeScore(path, base, size=64 * MIB).interpret(HERE).expect()

    assert path.read_bytes() == before


def test_a_disk_in_use_is_looked_at_and_refused_a_change(
    hypervisor: LibvirtHypervisor, tmp_path: Path, base: Path
):
    path = tmp_path / "a.qcow2"
    VolumeScore(path, base).interpret(HERE).expect()
    guest = Domain(
        "guest", identity("test"), "site", Arch.X86_64, Accelerator.TCG, 64, 1, Firmware.BIOS,
        tmp_path / "serial.log", disks=(Disk(path),),
    )  # fmt: skip
    host = KvmHostTopology(LocalMachine(), hypervisor)
    DomainScore(guest, is_on=True).interpret(host).expect()

    assert VolumeScore(path, base).interpret(host).expect().change is Change.UNCHANGED
    with pytest.raises(errors.CommandFailed, match="lock"):
        VolumeScore(path, base, size=32 * MIB).interpret(host).expect()

    hypervisor.destroy(guest.name)
    assert '"virtual-size": 16777216' in run(
        host.machine, "qemu-img", "info", "--output=json", str(path)
    )
