"""
Files, directories and links on a machine, by coreutils and findutils.

What is written appears at once and whole, under its name, with its mode and owner: never half, and
never readable by others before it is closed. What is as wanted isn't touched, nor are its times.
Contents go through standard input: they stand in no argument, no message and no log.

The directory that a file goes into must be one that only root, or the file's owner, writes to.
"""

import hashlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

from fleet import errors
from fleet.scores.capabilities import RunsCommands
from fleet.scores.linux.machine import Answer, Machine, failed, run
from fleet.scores.score import Score

ROOT = "root"
_LOOKED_AT = r"%p\0%y\0%m\0%u\0%g\0%s\0%l\0"
_FIELDS = 7
_ABSENT = (b": No such file or directory", b": Not a directory")
_TOP = 2  # parts of a path like /etc
_AT_ONCE = 64 * 1024  # bytes of arguments: over SSH they are one string, of which Linux takes 128K


class Kind(StrEnum):
    """What a path leads to, by the letter that `find` has for it."""

    FILE = "f"
    DIRECTORY = "d"
    LINK = "l"
    OTHER = "o"

    def __str__(self) -> str:
        match self:
            case Kind.FILE:
                return "a file"
            case Kind.DIRECTORY:
                return "a directory"
            case Kind.LINK:
                return "a symbolic link"
            case Kind.OTHER:
                return "a device, socket or pipe"


@dataclass(frozen=True, slots=True)
class Found:
    """What there is at a path. *target* is that of a link, as it is written there."""

    kind: Kind
    mode: int
    owner: str
    group: str
    size: int
    target: str = ""


def look(machine: Machine, *paths: str) -> Mapping[str, Found | None]:
    """Look at *paths*, without following a link that one of them is; None where nothing is."""
    found: dict[str, Found | None] = dict.fromkeys(paths)
    for some in _batches(paths):
        answer = machine.ask("find", *some, "-maxdepth", "0", "-printf", _LOOKED_AT)
        _check_only_absent(machine, answer, "find")
        words = answer.out.decode(errors="surrogateescape").split("\0")[:-1]
        for path, *rest in zip(*[iter(words)] * _FIELDS, strict=True):
            found[path] = _found(rest)
    return found


def read(machine: Machine, path: str) -> bytes | None:
    """Read the file at *path*; None when there is none."""
    answer = machine.ask("cat", "--", _checked(path))
    if answer.ok:
        return answer.out
    _check_only_absent(machine, answer, "cat")
    return None


def digests(machine: Machine, *paths: str) -> Mapping[str, str | None]:
    """Compute the SHA-256 of the files at *paths*; None where there is none."""
    found: dict[str, str | None] = dict.fromkeys(paths)
    for some in _batches(paths):
        answer = machine.ask("sha256sum", "--zero", "--", *some)
        _check_only_absent(machine, answer, "sha256sum")
        for line in answer.out.decode(errors="surrogateescape").split("\0")[:-1]:
            digest, _, path = line.partition("  ")
            found[path] = digest
    return found


def write(
    machine: Machine,
    path: str,
    content: bytes,
    *,
    mode: int,
    owner: str = ROOT,
    group: str = ROOT,
) -> None:
    """
    Write *content* to *path*, in one step for whoever looks.

    It is on the disk before it has the name, so that a power cut leaves the old one or the new.
    """
    _clean_up(machine, path)
    temporary = run(machine, "mktemp", "--", f"{_beside(path)}XXXXXXXX").rstrip("\n")
    try:
        # Not over a link, nor into a file that somebody made meanwhile.
        flags = ("conv=nocreat,fsync", "oflag=nofollow", "status=none")
        run(machine, "dd", f"of={temporary}", *flags, stdin=content)
        if (owner, group) != (ROOT, ROOT):
            run(machine, "chown", "--no-dereference", "--", f"{owner}:{group}", temporary)
        run(machine, "chmod", "--", f"{mode:04o}", temporary)
        run(machine, "mv", "--no-target-directory", "--", temporary, path)
    except errors.CommandFailed:
        machine.ask("rm", "--force", "--", temporary)
        raise


def link(machine: Machine, path: str, target: str) -> None:
    """Make *path* a symbolic link to *target*, in one step for whoever looks."""
    _clean_up(machine, path)
    temporary = f"{_beside(path)}link"
    run(machine, "ln", "--symbolic", "--no-target-directory", "--", target, temporary)
    run(machine, "mv", "--no-target-directory", "--", temporary, path)


@dataclass(frozen=True, slots=True)
class FileScore(Score[RunsCommands]):
    """A regular file with this content, mode and owner."""

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o644
    owner: str = ROOT
    group: str = ROOT

    @property
    def name(self) -> str:
        """Name the file."""
        return f"file {self.path}"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Compare kind, mode, owner and, where the sizes agree, the digest of the content."""
        found = look(topology.machine, self.path)[self.path]
        if found is None:
            return (f"{self.path} doesn't exist",)
        if found.kind is Kind.DIRECTORY:
            raise _in_the_way(topology.machine, self.path, found.kind, Kind.FILE)
        if found.kind is not Kind.FILE:
            return (f"{self.path} is {found.kind}",)
        return (*self._content(topology.machine, found), *_access(self, found))

    def bring_about(self, topology: RunsCommands) -> None:
        """Write it anew."""
        write(
            topology.machine,
            self.path,
            self.content,
            mode=self.mode,
            owner=self.owner,
            group=self.group,
        )

    def _content(self, machine: Machine, found: Found) -> Iterator[str]:
        wanted = hashlib.sha256(self.content).hexdigest()
        if found.size != len(self.content) or digests(machine, self.path)[self.path] != wanted:
            yield f"{self.path} has other content"


@dataclass(frozen=True, slots=True)
class DirectoryScore(Score[RunsCommands]):
    """A directory with this mode and owner; parents that are missing are root's, and open."""

    path: str
    mode: int = 0o755
    owner: str = ROOT
    group: str = ROOT

    @property
    def name(self) -> str:
        """Name the directory."""
        return f"directory {self.path}"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Compare kind, mode and owner."""
        found = look(topology.machine, self.path)[self.path]
        if found is None:
            return (f"{self.path} doesn't exist",)
        if found.kind is not Kind.DIRECTORY:
            raise _in_the_way(topology.machine, self.path, found.kind, Kind.DIRECTORY)
        return tuple(_access(self, found))

    def bring_about(self, topology: RunsCommands) -> None:
        """Make it, or set its mode and owner."""
        access = (f"--mode={self.mode:04o}", f"--owner={self.owner}", f"--group={self.group}")
        run(topology.machine, "install", "--directory", *access, "--", self.path)


@dataclass(frozen=True, slots=True)
class LinkScore(Score[RunsCommands]):
    """A symbolic link to *target*, which need not exist."""

    path: str
    target: str

    @property
    def name(self) -> str:
        """Name the link."""
        return f"link {self.path}"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Compare where it leads."""
        found = look(topology.machine, self.path)[self.path]
        if found is None:
            return (f"{self.path} doesn't exist",)
        if found.kind is Kind.DIRECTORY:
            raise _in_the_way(topology.machine, self.path, found.kind, Kind.LINK)
        if found.kind is not Kind.LINK:
            return (f"{self.path} is {found.kind}",)
        if found.target != self.target:
            return (f"{self.path} leads to {found.target} instead of {self.target}",)
        return ()

    def bring_about(self, topology: RunsCommands) -> None:
        """Swap it in one step."""
        link(topology.machine, self.path, self.target)


@dataclass(frozen=True, slots=True)
class AbsentScore(Score[RunsCommands]):
    """Nothing at a path. A directory goes when it is empty or, *with_contents*, with all in it."""

    path: str
    with_contents: bool = False

    @property
    def name(self) -> str:
        """Name what shall not be there."""
        return f"no {self.path}"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Look whether something is there."""
        if self.with_contents and len(PurePosixPath(self.path).parts) <= _TOP:
            what = f"{self.path} is too high up to be removed with all in it; name what is meant"
            raise errors.InvalidConfig(what, element=self.path)
        found = look(topology.machine, self.path)[self.path]
        return () if found is None else (f"{self.path} is {found.kind}",)

    def bring_about(self, topology: RunsCommands) -> None:
        """Remove it; what is mounted below stays."""
        whole = ("--recursive", "--one-file-system") if self.with_contents else ("--dir",)
        run(topology.machine, "rm", "--force", *whole, "--", _checked(self.path))


def _access(wanted: FileScore | DirectoryScore, found: Found) -> Iterator[str]:
    if found.mode != wanted.mode:
        yield f"{wanted.path} has mode {found.mode:04o} instead of {wanted.mode:04o}"
    if (found.owner, found.group) != (wanted.owner, wanted.group):
        yield (
            f"{wanted.path} belongs to {found.owner}:{found.group}"
            f" instead of {wanted.owner}:{wanted.group}"
        )


def _in_the_way(machine: Machine, path: str, found: Kind, wanted: Kind) -> errors.NotOurs:
    return errors.NotOurs(
        f"{machine.name}: {path} is {found}, and {wanted} is wanted there; move it away",
        element=path,
    )


def _found(words: Sequence[str]) -> Found:
    kind, mode, owner, group, size, target = words
    kinds = {known.value: known for known in Kind}
    return Found(kinds.get(kind, Kind.OTHER), int(mode, 8), owner, group, int(size), target)


def _check_only_absent(machine: Machine, answer: Answer, program: str) -> None:
    """Take nothing but absence for an answer of a program that failed."""
    complaints = [line for line in answer.err.splitlines() if line.startswith(program.encode())]
    if answer.ok or (complaints and all(line.endswith(_ABSENT) for line in complaints)):
        return
    raise failed(machine, (program,), answer)


def _clean_up(machine: Machine, path: str) -> None:
    """Remove what a writer left beside *path* that was killed."""
    beside = PurePosixPath(_beside(_checked(path)))
    pattern = "".join(f"\\{c}" if c in r"\*?[" else c for c in beside.name)
    only = ("-maxdepth", "1", "-name", f"{pattern}*", "-not", "-type", "d")
    run(machine, "find", "-H", str(beside.parent), *only, "-delete")


def _beside(path: str) -> str:
    whole = PurePosixPath(path)
    return str(whole.with_name(f".{whole.name}.fleet-"))


def _checked(path: str) -> str:
    """Refuse a path that isn't a plain absolute one: it may start with a dash, or mean another."""
    if not path.startswith("/") or path != str(PurePosixPath(path)) or path == "/":
        raise errors.InvalidConfig(
            f"{shlex.quote(path)} is not a plain absolute path, as /etc/fleet is", element=path
        )
    return path


def _batches(paths: Sequence[str]) -> Iterator[tuple[str, ...]]:
    batch: list[str] = []
    size = 0
    for path in map(_checked, paths):
        length = len(shlex.quote(path).encode(errors="surrogateescape")) + 1
        if batch and size + length > _AT_ONCE:
            yield tuple(batch)
            batch, size = [], 0
        batch.append(path)
        size += length
    if batch:
        yield tuple(batch)
