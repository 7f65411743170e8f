"""What nobody needs of the cache of images goes, and what somebody is at work on never does."""

from pathlib import Path
from typing import Any

import pytest

from fleet.scores.linux.architecture import Arch
from lab.devices.vm.device import VmDevice
from lab.devices.vm.machine import DiskScore
from lab.host import lab_host as hosts
from lab.host.lab_host import Addresses, LabHost
from lab.images.cloud import cache, unused_images
from lab.images.cloud.cache import Stored
from lab.images.cloud.catalogue import Image
from lab.images.cloud.unused_images import Kind, Unused
from lab.system import commands, locks
from tests.lab_host import needs

pytestmark = needs("qemu-img")

GONE = "ab" * 32


@pytest.fixture
def lab(bootable: Stored) -> LabHost:
    """A lab in the same data directory."""
    del bootable
    return LabHost("mine", hosts.state_of("mine"), Addresses(255))


@pytest.fixture
def device(bootable: Stored) -> VmDevice:
    """A machine that boots from the image."""
    return VmDevice("vm-01", 1, {}, "", Path(), "", Arch.X86_64, bootable.image.name)


def found(kind: Kind) -> tuple[Unused, ...]:
    """Return what is left over of *kind*."""
    return tuple(each for each in unused_images.find() if each.kind is kind)


def test_an_image_never_goes_while_a_disk_is_made_on_it(
    bootable: Stored, lab: LabHost, device: VmDevice, monkeypatch: pytest.MonkeyPatch
):
    (unused,) = found(Kind.IMAGE)
    run, went = commands.run, []

    def collected_before_and_after(*argv: str, **options: Any) -> str:
        went.append(unused_images.remove(unused))
        answer = run(*argv, **options)
        went.append(unused_images.remove(unused))
        return answer

    monkeypatch.setattr(commands, "run", collected_before_and_after)
    DiskScore(device).bring_about(lab)

    assert went == [False, False]
    assert bootable.disk.exists()
    assert DiskScore(device).differences(lab) == ()
    assert found(Kind.IMAGE) == ()


def test_an_image_that_somebody_holds_is_kept_and_one_that_nobody_holds_goes(bootable: Stored):
    (unused,) = found(Kind.IMAGE)

    with cache.held(bootable.image, lambda _: None):
        assert not unused_images.remove(unused)

    assert unused_images.remove(unused)
    assert list(cache.home().iterdir()) == []  # the lock has gone with it


def test_what_a_dead_build_left_goes_and_what_a_live_one_makes_stays(image: Image):
    draft = cache.making() / cache.digest_of(image)
    (draft / "root").mkdir(parents=True)
    (draft / "root" / "file").write_bytes(b"12345")
    (left,) = found(Kind.DRAFT)
    assert left.bytes == 5
    assert not left.is_current

    with locks.beside(cache.home() / draft.name):
        assert found(Kind.DRAFT) == ()
        assert not unused_images.remove(left)

    assert unused_images.remove(left)
    assert not draft.exists()


def test_a_part_is_kept_as_long_as_the_catalogue_names_its_image(bootable: Stored):
    for digest in (bootable.digest, GONE):
        (cache.making() / f"{digest}.part").write_bytes(b"123")

    gone, current = found(Kind.DRAFT)

    assert (gone.path.stem, gone.is_current) == (GONE, False)
    assert (current.path.stem, current.is_current) == (bootable.digest, True)


def test_a_lock_of_no_image_goes(bootable: Stored):
    alone = cache.home() / f"{GONE}.lock"
    alone.touch()

    (lock,) = found(Kind.LOCK)

    assert lock.path == alone
    assert unused_images.remove(lock)
    assert not alone.exists()
    assert bootable.disk.exists()
