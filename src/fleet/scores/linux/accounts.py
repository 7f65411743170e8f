"""
What the files of accounts say: users, and the ranges of numbers that their containers may use.

Decides only: no I/O. Lines that say nothing are passed over, as the programs of `shadow` do.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from fleet import errors

_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_FIELDS = 7
_RANGE = 3


@dataclass(frozen=True, slots=True)
class Account:
    """A line of ``/etc/passwd``."""

    user: str
    uid: int
    gid: int
    home: str
    shell: str

    @classmethod
    def parse(cls, line: str) -> Self:
        """
        Read a line, as `getent passwd` prints it.

        :raises errors.CommandFailed: it is none.
        """
        words = line.strip().split(":")
        if len(words) != _FIELDS or not (words[2].isdigit() and words[3].isdigit()):
            raise errors.CommandFailed(f"not a line of passwd: {line.strip()!r}", element="getent")
        return cls(words[0], int(words[2]), int(words[3]), words[5], words[6])


@dataclass(frozen=True, slots=True)
class SubordinateIds:
    """Numbers that the containers of a user may use for theirs: *count* of them, from *start*."""

    start: int
    count: int = 65_536

    def __post_init__(self) -> None:
        if self.start < 1 or self.count < 1:
            what = f"subordinate ids from {self.start}, {self.count} of them: both must be positive"
            raise errors.InvalidConfig(what, element="subordinate_ids")

    def __str__(self) -> str:
        return f"{self.start}-{self.last}"

    @property
    def last(self) -> int:
        """Return the last of them."""
        return self.start + self.count - 1

    def overlaps(self, other: "SubordinateIds") -> bool:
        """Tell whether a number is in both."""
        return self.start <= other.last and other.start <= self.last


def ranges(text: str) -> Iterator[tuple[str, SubordinateIds]]:
    """Read ``/etc/subuid`` or ``/etc/subgid``: who (by name or number) may use which numbers."""
    for line in text.splitlines():
        words = line.strip().split(":")
        if len(words) != _RANGE or not (words[1].isdigit() and words[2].isdigit()):
            continue
        if int(words[1]) and int(words[2]):
            yield words[0], SubordinateIds(int(words[1]), int(words[2]))


def takers(wanted: SubordinateIds, text: str, *, but: Iterable[str]) -> tuple[str, ...]:
    """Name who else may use some of the *wanted* numbers, going by *text*."""
    ours = frozenset(but)
    return tuple(
        f"{owner} ({found})"
        for owner, found in ranges(text)
        if owner not in ours and found.overlaps(wanted)
    )


def check_name(user: str) -> None:
    """
    Refuse what can't be the name of a user that we make.

    :raises errors.InvalidConfig: it isn't one, or is root.
    """
    if user == "root":
        raise errors.InvalidConfig("root is not a user to be made or changed", element=user)
    if not _NAME.fullmatch(user):
        raise errors.InvalidConfig(
            f"{user!r} is not the name of a user: lower-case letters first, then digits, _ or -",
            element=user,
        )


def check_key(line: str) -> None:
    """
    Refuse what isn't one public key, as a line of ``authorized_keys``.

    :raises errors.InvalidConfig: it isn't; the message doesn't repeat it, in case it is a private.
    """
    if any(control in line for control in "\n\r\0") or not re.search(r"(^|\s)AAAA[\w+/]+=*", line):
        raise errors.InvalidConfig(
            "not a public key on one line, as a file like id_ed25519.pub has it",
            element="authorized_keys",
        )
