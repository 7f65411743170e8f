"""
The port to a Linux machine: it runs programs, as root, and says how its libvirt is reached.

Files, users, packages and services are built on it with the programs that every distribution has
(coreutils, systemd, the package manager), so that there is one way to do each, and two adapters:
`fleet.scores.linux.local` for the machine that we are on, `fleet.scores.linux.ssh` for others.
Programs get their arguments as they are: no shell ever reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fleet import errors

WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program answered. *code* is its exit status, or minus the signal that ended it."""

    code: int
    out: bytes = b""
    err: bytes = b""

    @property
    def ok(self) -> bool:
        """Tell whether the program ended well."""
        return self.code == 0

    @property
    def text(self) -> str:
        """Return what it wrote to standard output."""
        return self.out.decode(errors="replace")


class Machine(Protocol):
    """A machine that runs programs as root."""

    @property
    def name(self) -> str:
        """Name the machine, as messages do."""

    @property
    def libvirt(self) -> str:
        """
        Name where its libvirt is reached from here, if it has one, as `virsh -c` takes it.

        :raises errors.InvalidConfig: we get to it in a way that libvirt can't go.
        """

    def ask(self, *argv: str, stdin: bytes = b"", within: float = WITHIN) -> Answer:
        """
        Run *argv*, and return what it answered, also when it failed.

        A program that isn't there answers with 127, as it does in a shell.

        :raises errors.MachineUnreachable: the machine doesn't answer, or broke off.
        :raises errors.CommandFailed: the program took longer than *within* seconds, and was ended.
        """


def run(machine: Machine, *argv: str, stdin: bytes = b"", within: float = WITHIN) -> str:
    """
    Run *argv* on *machine*, and return what it wrote to standard output.

    :raises errors.CommandFailed: it ended badly; the message says with what words.
    """
    answer = machine.ask(*argv, stdin=stdin, within=within)
    if not answer.ok:
        raise failed(machine, argv, answer)
    return answer.text


def failed(machine: Machine, argv: Sequence[str], answer: Answer) -> errors.CommandFailed:
    """Make the error of a program that ended badly."""
    said = (answer.err or answer.out).decode(errors="replace").strip()[-2000:]
    return errors.CommandFailed(
        f"{machine.name}: `{' '.join(argv)}` failed with {answer.code}: {said}", element=argv[0]
    )
