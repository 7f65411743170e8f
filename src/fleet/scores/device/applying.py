"""
Settings of a service that runs already: written, and read by it.

Between the two the power may go, or we may be ended. A note says that a service has yet to read
what was written; it is in ``/run``, since a reboot makes every service read.
"""

from dataclasses import dataclass

from fleet.scores.capabilities import RunsCommands
from fleet.scores.linux import files
from fleet.scores.linux.files import FileScore
from fleet.scores.linux.machine import run
from fleet.scores.score import Score

_NOTES = "/run/fleet-unread"


@dataclass(frozen=True, slots=True)
class AppliedScore(Score[RunsCommands]):
    """
    The settings are in their *file*, and the service *unit* has read them.

    *check* is a program that refuses settings which would end the service. A *unit* that isn't
    running has nothing to read: it does so when it starts.
    """

    file: FileScore
    unit: str
    check: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name the service."""
        return f"settings of {self.unit}"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Compare the file, and look for the note."""
        unread = files.look(topology.machine, self._note)[self._note] is not None
        noted = (f"{self.unit} has not read {self.file.path}",) if unread else ()
        return (*self.file.differences(topology), *noted)

    def bring_about(self, topology: RunsCommands) -> None:
        """Note, write, have it read, and take the note away."""
        machine = topology.machine
        run(machine, "mkdir", "--parents", "--", _NOTES, str(_parent(self.file.path)))
        run(machine, "touch", "--", self._note)
        self.file.interpret(topology).expect()
        if self.check:
            run(machine, *self.check)
        run(machine, "systemctl", "try-reload-or-restart", "--", self.unit)
        run(machine, "rm", "--force", "--", self._note)

    @property
    def _note(self) -> str:
        return f"{_NOTES}/{self.unit}"


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
