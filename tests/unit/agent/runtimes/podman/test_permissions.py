"""`permissions`: who may open a file, by what the file says, whatever our cgroup lets us have."""

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.agent.runtimes.podman import permissions

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")

NULL = os.makedev(1, 3)
ME, OTHER = 65_534, 65_533
MINE, MORE, NOT_MINE = 65_534, 65_532, 65_531
# As the kernel numbers them: owner, user, group of the file, group, mask, others.
_OWNER, _USER, _OWNING, _GROUP, _MASK, _OTHERS = 1, 2, 4, 8, 16, 32
_NOBODY = 0xFFFFFFFF


@pytest.fixture
def node() -> Iterator[Path]:
    """A node that each cgroup may have; who looks at it is a user with two groups."""
    path = Path(f"/dev/fleet-unit-test-{os.getpid()}")
    os.mknod(path, 0o600 | stat.S_IFCHR, NULL)
    before = os.getgroups()
    os.setgroups([MORE])
    os.setegid(MINE)
    os.seteuid(ME)
    yield path
    os.seteuid(0)
    os.setegid(0)
    os.setgroups(before)
    path.unlink()


def give(path: Path, user: int, group: int, mode: int, *entries: tuple[int, int, int]) -> None:
    """Say whose *path* is, and who else may open it."""
    os.seteuid(0)
    try:
        os.chown(path, user, group)
        path.chmod(mode)
        if entries:
            told = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)
            os.setxattr(path, "system.posix_acl_access", told)
    finally:
        os.seteuid(ME)


@pytest.mark.parametrize(
    ("user", "group", "mode", "granted"),
    [
        (ME, 0, 0o600, "rw"),
        (ME, 0, 0o400, "r"),
        (ME, MINE, 0o066, ""),  # who owns a file is nobody else to it
        (OTHER, MINE, 0o660, "rw"),
        (OTHER, MORE, 0o640, "r"),
        (OTHER, MINE, 0o606, ""),
        (OTHER, NOT_MINE, 0o660, ""),
        (OTHER, NOT_MINE, 0o666, "rw"),
        (0, 0, 0o602, "w"),
    ],
)
def test_owner_group_and_mode_tell_who_may_open_a_file(
    node: Path, user: int, group: int, mode: int, granted: str
):
    give(node, user, group, mode)
    assert_granted(node, granted)


@pytest.mark.parametrize(
    ("entry", "mask", "granted"),
    [
        ((_USER, 6, ME), 6, "rw"),
        ((_USER, 6, ME), 4, "r"),
        ((_USER, 6, OTHER), 6, ""),
        ((_GROUP, 6, MORE), 6, "rw"),
        ((_GROUP, 6, NOT_MINE), 6, ""),
    ],
)
def test_a_list_of_others_is_looked_at(
    node: Path, entry: tuple[int, int, int], mask: int, granted: str
):
    rest = [(_OWNER, 6, _NOBODY), (_OWNING, 0, _NOBODY), (_MASK, mask, _NOBODY)]
    try:
        give(node, 0, NOT_MINE, 0o660, *sorted([*rest, entry, (_OTHERS, 0, _NOBODY)]))
    except OSError as exc:
        pytest.skip(f"/dev here keeps no such lists: {exc}")
    assert_granted(node, granted)


def test_who_is_in_the_group_of_the_file_has_not_what_others_have_by_a_list(node: Path):
    entries = [(_OWNER, 6), (_OWNING, 4), (_GROUP, 6), (_MASK, 6), (_OTHERS, 0)]
    ids = {_GROUP: NOT_MINE}
    try:
        give(node, 0, MINE, 0o660, *((tag, bits, ids.get(tag, _NOBODY)) for tag, bits in entries))
    except OSError as exc:
        pytest.skip(f"/dev here keeps no such lists: {exc}")
    assert_granted(node, "r")


def test_what_the_agents_own_cgroup_keeps_from_it_is_no_reason_to_refuse(
    node: Path, monkeypatch: pytest.MonkeyPatch
):
    """As with DevicePolicy=closed, by which access(2) refuses every real device."""
    give(node, ME, 0, 0o600)
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    assert permissions.may_open(node, "rw")


def test_who_wants_neither_to_read_nor_to_write_needs_no_leave(node: Path):
    assert permissions.may_open(node, "m")
    assert not permissions.may_open(node, "rm")


def assert_granted(node: Path, granted: str) -> None:
    """Ask for all that may be wanted; the kernel, where no cgroup is in its way, says the same."""
    for letters, flags in (("r", os.R_OK), ("w", os.W_OK), ("rw", os.R_OK | os.W_OK)):
        is_granted = set(letters) <= set(granted)
        assert permissions.may_open(node, letters) == is_granted, letters
        assert os.access(node, flags, effective_ids=True) == is_granted, letters
