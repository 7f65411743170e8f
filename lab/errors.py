"""
What can go wrong in the lab, each with the exit code that `invoke lab.…` ends with.

* LabError               1   a part did not become what it should be
  + PartDied             1   a process ended while we waited for it
  + TopologyInvalid      2   the topology file, or an option, makes no sense
  + PreflightFailed      3   the host cannot carry the lab (not root, a program is missing, …)
  + WaitTimedOut         4   a wait ran out of its budget
  + NothingThere         5   there is no such lab, part, device or snapshot
  + SnapshotMismatch     6   a snapshot is of another lab than the one that is here
  + LabBusy             75   another command holds the lab, or another lab the addresses

Each says what happened, where to look (*log*) and what to do (*hint*); *where* is the device that
it befell, when several came up side by side.
"""

from pathlib import Path
from typing import ClassVar

from fleet import errors


class LabError(errors.FleetError):
    """A part of the lab is not what it should be."""

    exit_code: ClassVar[int] = 1

    def __init__(
        self, message: str, *, element: str = "", hint: str = "", log: Path | None = None
    ) -> None:
        super().__init__(message, element=element)
        self.hint = hint
        self.log = log
        self.where = ""


class PartDied(LabError):
    """A process of the lab ended by itself."""


class TopologyInvalid(LabError):
    """A topology or an option that makes no sense."""

    exit_code = 2


class PreflightFailed(LabError):
    """The host cannot carry the lab as it is."""

    exit_code = 3


class WaitTimedOut(LabError):
    """A wait ran out of its budget."""

    exit_code = 4


class NothingThere(LabError):
    """No such lab, part, device or snapshot."""

    exit_code = 5


class SnapshotMismatch(LabError):
    """A snapshot that doesn't fit what is here."""

    exit_code = 6


class LabBusy(LabError):
    """Somebody else holds what we need."""

    exit_code = 75
