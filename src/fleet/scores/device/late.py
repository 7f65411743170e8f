"""Scores that are known only once the machine has been asked: what has its user's number in it."""

from collections.abc import Callable
from dataclasses import dataclass

from fleet.scores.capabilities import RunsCommands
from fleet.scores.linux import lookup
from fleet.scores.score import Score


@dataclass(frozen=True, slots=True)
class OfUserScore(Score[RunsCommands]):
    """What *make* makes of the number of *user*, who may be made before it by another score."""

    what: str
    user: str
    make: Callable[[int], Score[RunsCommands]]

    @property
    def name(self) -> str:
        """Return *what* it is."""
        return self.what

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Ask for the number, and then compare."""
        account = lookup.find(topology.machine, self.user)
        if account is None:
            return (f"there is no user {self.user}",)
        return self.make(account.uid).differences(topology)

    def bring_about(self, topology: RunsCommands) -> None:
        """Ask for the number, and then act."""
        account = lookup.must_find(topology.machine, self.user)
        self.make(account.uid).bring_about(topology)
