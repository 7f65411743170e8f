"""Scores that are known only once the machine has been asked: what has its user's number in it."""

from collections.abc import Callable
from dataclasses import dataclass

from fleet import errors
from fleet.scores.capabilities import RunsCommands
from fleet.scores.linux.machine import Machine
from fleet.scores.score import Score


@dataclass(frozen=True, slots=True)
class OfUserScore(Score[RunsCommands]):
    """What *make* makes of the number of *user*, who may be made before it by another score."""

    name: str
    user: str
    make: Callable[[int], Score[RunsCommands]]

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Ask for the number, and then compare."""
        uid = number(topology.machine, self.user)
        if uid is None:
            return (f"there is no user {self.user}",)
        return self.make(uid).differences(topology)

    def bring_about(self, topology: RunsCommands) -> None:
        """Ask for the number, and then act."""
        uid = number(topology.machine, self.user)
        if uid is None:
            what = f"{topology.machine.name}: there is no user {self.user}"
            raise errors.CommandFailed(what, element=self.user)
        self.make(uid).bring_about(topology)


def number(machine: Machine, user: str) -> int | None:
    """Return the number of *user*, if there is one of that name."""
    answer = machine.ask("id", "--user", "--", user)
    return int(answer.text) if answer.ok else None
