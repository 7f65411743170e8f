"""
Packages, by the machine's own package manager, which is asked nothing and told everything.

What is there stays as it is: nothing is upgraded, and nothing removed. When another holds the
package manager's lock, as upgrades at night do, we wait for a while and then say who it is.
"""

from dataclasses import dataclass

from fleet import errors
from fleet.scores import waiting
from fleet.scores.capabilities import RunsCommands
from fleet.scores.linux import families, files
from fleet.scores.linux.architecture import Arch
from fleet.scores.linux.families import Family, OsRelease, Purpose
from fleet.scores.linux.machine import Answer, Machine, failed, run
from fleet.scores.score import Score

_OS_RELEASES = ("/etc/os-release", "/usr/lib/os-release")
_WITHIN = 1800.0  # a slow board behind a slow line
_EVERY = 2.0
_LOCKED = (
    b"Could not get lock", b"Unable to acquire the dpkg frontend lock", b"Unable to lock",
    b"management is locked", b"unable to lock database",
)  # fmt: skip
_UNKNOWN = (
    b"Unable to locate package", b"has no installation candidate", b"Couldn't find any package",
    b"Unable to find a match", b"No match for argument", b"not found in package names",
    b"No provider of", b"target not found",
)  # fmt: skip
_STALE = (b"404  Not Found", b"Hash Sum mismatch")
_INTERRUPTED = b"dpkg was interrupted"
_REPAIR = ("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--configure", "--force-confold", "-a")


def read_release(machine: Machine) -> OsRelease:
    """Ask *machine* what it is."""
    for path in _OS_RELEASES:
        text = files.read(machine, path)
        if text is not None:
            return families.parse(text.decode(errors="replace"))
    return families.parse("")


def read_arch(machine: Machine) -> Arch:
    """
    Ask *machine* for its processor's architecture.

    :raises errors.HostUnsupported: none that we know.
    """
    said = run(machine, "uname", "-m").strip()
    for arch in Arch:
        if arch.value == said:
            return arch
    what = f"{machine.name} is {said}; we know {' and '.join(Arch)}"
    raise errors.HostUnsupported(what, element=said)


@dataclass(frozen=True, slots=True)
class PackageScore(Score[RunsCommands]):
    """Packages are installed: *names*, and those that the machine's family takes for *purpose*."""

    names: tuple[str, ...] = ()
    purpose: Purpose | None = None
    patience: float = 300.0  # for who else holds the lock: unattended upgrades take minutes

    @property
    def name(self) -> str:
        """Name what they are for, or the first of them, and how many follow."""
        if self.purpose is not None:
            return f"packages for {self.purpose}"
        first, *others = self.names or ("none",)
        return f"package {first}" + (f" and {len(others)} more" if others else "")

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Ask which of them aren't installed."""
        _, missing = self._missing(topology.machine)
        return tuple(f"{name} isn't installed" for name in missing)

    def bring_about(self, topology: RunsCommands) -> None:
        """Install those."""
        family, missing = self._missing(topology.machine)
        if missing:
            _Installing(topology.machine, family, self.patience).install(missing)

    def _missing(self, machine: Machine) -> tuple[Family, tuple[str, ...]]:
        family = read_release(machine).family
        names = (*self.names, *self._for_purpose(machine, family))
        families.check_names(names)
        if not names:
            return family, ()
        command = families.query(family, names)
        answer = machine.ask(*command)
        if answer.code > 1 and not answer.out:
            raise failed(machine, command, answer)
        return family, families.missing(family, names, answer)

    def _for_purpose(self, machine: Machine, family: Family) -> tuple[str, ...]:
        if self.purpose is None:
            return ()
        # NixOS first: it is refused, whatever it runs on.
        arch = Arch.X86_64 if family is Family.NIXOS else read_arch(machine)
        return families.packages(self.purpose, family, arch)


@dataclass(frozen=True, slots=True)
class _Installing:
    """Installing on one machine, by the package manager of its family."""

    machine: Machine
    family: Family
    patience: float

    def install(self, names: tuple[str, ...]) -> None:
        """Install *names*; learn what there is to be had only where that is needed."""
        command = families.install(self.family, names)
        answer = self._ask(command)
        if _INTERRUPTED in answer.err:  # the power went while it installed
            self._must(_REPAIR)
            answer = self._ask(command)
        if _says(answer, *_UNKNOWN, *_STALE) and (refresh := families.refresh(self.family)):
            self._must(refresh)
            answer = self._ask(command)
        self._check(command, answer)

    def _check(self, command: tuple[str, ...], answer: Answer) -> None:
        if answer.ok:
            return
        if _says(answer, *_UNKNOWN):
            complaint = next(line for line in _lines(answer) if any(w in line for w in _UNKNOWN))
            raise errors.HostUnsupported(
                f"{self.machine.name}: {complaint.decode(errors='replace').strip()};"
                " is the source that has it configured?",
                element=self.family,
            )
        raise failed(self.machine, command, answer)

    def _must(self, command: tuple[str, ...]) -> None:
        answer = self._ask(command)
        if not answer.ok:
            raise failed(self.machine, command, answer)

    def _ask(self, command: tuple[str, ...]) -> Answer:
        """Run *command* once nobody else holds the lock."""
        answers: list[Answer] = []

        def locked() -> str:
            answers.append(self.machine.ask(*command, within=_WITHIN))
            complaints = [line for line in _lines(answers[-1]) if any(w in line for w in _LOCKED)]
            return b" ".join(complaints).decode(errors="replace")

        what = f"{self.machine.name}: the package manager to be free"
        waiting.until(what, locked, within=self.patience, every=_EVERY)
        return answers[-1]


def _lines(answer: Answer) -> list[bytes]:
    return [] if answer.ok else [*answer.err.splitlines(), *answer.out.splitlines()]


def _says(answer: Answer, *words: bytes) -> bool:
    return any(word in line for line in _lines(answer) for word in words)
