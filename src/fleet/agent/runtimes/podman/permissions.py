"""
Whether our user may open a file, by what the file says of itself.

access(2) doesn't tell that of a device node: it asks the devices of our own cgroup as well, where
the agent's unit lets it have none. Containers are in the cgroups of podman, which is in another
unit, and may have what their user may have. Looked at as the kernel does: root, owner, groups,
and the list of others that a file may have besides (an ACL, as setfacl writes it). Blocks.
"""

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_BITS = {"r": 4, "w": 2}
_LIST = "system.posix_acl_access"
_HEAD, _ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_USER, _GROUP_OWNER, _GROUP, _MASK = 0x02, 0x04, 0x08, 0x10
_ALL = 7


class _Entry(NamedTuple):
    tag: int
    bits: int
    id: int


def may_open(path: Path, letters: str) -> bool:
    """Tell whether our user may read (r) and write (w) *path*, as *letters* say."""
    wanted = sum(bit for letter, bit in _BITS.items() if letter in letters)
    user = os.geteuid()
    if user == 0 or not wanted:
        return True
    try:
        found = path.stat()
    except OSError:
        return False
    mode, groups = stat.S_IMODE(found.st_mode), {os.getegid(), *os.getgroups()}
    if found.st_uid == user:
        return _has(mode >> 6, wanted)
    entries = tuple(_entries(path))
    mask = next((e.bits for e in entries if e.tag == _MASK), _ALL)
    for entry in entries:
        if entry.tag == _USER and entry.id == user:
            return _has(entry.bits & mask, wanted)
    # With a list, what the mode calls the group's is the mask.
    mine = [e.bits & mask for e in entries if e.tag == _GROUP and e.id in groups]
    if found.st_gid in groups:
        mine += [e.bits & mask for e in entries if e.tag == _GROUP_OWNER] or [mode >> 3]
    if mine:
        return any(_has(bits, wanted) for bits in mine)
    return _has(mode, wanted)


def _has(bits: int, wanted: int) -> bool:
    return bits & wanted == wanted


def _entries(path: Path) -> Iterator[_Entry]:
    """Read the list of *path*; nothing where it has none."""
    try:
        told = os.getxattr(path, _LIST)
    except OSError:
        return
    whole = len(told) - (len(told) - _HEAD.size) % _ENTRY.size
    yield from (_Entry(*each) for each in _ENTRY.iter_unpack(told[_HEAD.size : whole]))
