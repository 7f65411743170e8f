"""
What of a lab can be snapshotted, as those who take and restore snapshots see it.

The order in which the parts are dealt with is not theirs (`taking`, `restoring`). Every verb is
safe to say again, and content with a part that is broken or gone: a reset mends what it finds.
Every method may raise `errors.FleetError`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from lab.snapshots.keys import Key


class Service(Protocol):
    """A process that others' state goes through. What starts it again is the lab's own walk."""

    @property
    def name(self) -> str:
        """Name it, as `lab.logs --part` does."""

    def stop(self) -> None:
        """End it."""


class Store(Protocol):
    """Files that belong together, and that nobody writes to while the services are stopped."""

    @property
    def name(self) -> str:
        """Name what they are."""

    def size(self) -> int:
        """Return how many bytes a copy may take."""

    def copy(self, into: Path) -> None:
        """Copy the files to *into*, which isn't there yet."""

    def put_back(self, kept: Path) -> None:
        """Replace the files by those that `copy` put into *kept*."""


class Machine(Protocol):
    """A virtual machine: its memory, its disk, and what the lab knows of it."""

    @property
    def name(self) -> str:
        """Return the device's id."""

    def size(self) -> int:
        """Return how many bytes a save may take: memory, and what its disk has beyond the image."""

    def boot_id(self) -> str:
        """Ask the guest which of its boots this is."""

    def pause(self) -> None:
        """Stop its clock."""

    def save(self, into: Path) -> None:
        """Put memory and disk into the directory *into*, which isn't there; it is off then."""

    def go_on(self, saved: Path) -> None:
        """Let it run again: from where it was paused, or from what `save` put into *saved*."""

    def end(self) -> None:
        """Cut its power, and have it forgotten."""

    def restore(self, kept: Path) -> None:
        """Go on from what `save` put into *kept*, which stays. It is off before."""

    def wake(self) -> str:
        """
        Wait until the guest answers, and return its boot id.

        It slept since the save: it is told what time it is, and that its connection to the hub is
        gone, which TCP alone might take a minute to find out.
        """


class Journal(Protocol):
    """A host device: all that is kept of it is what its agent remembers; the rest is rebuilt."""

    @property
    def name(self) -> str:
        """Return the device's id."""

    def size(self) -> int:
        """Return how many bytes a copy may take."""

    def copy(self, into: Path) -> None:
        """Copy the journal to *into*, which isn't there yet."""

    def stop(self) -> None:
        """End the agent."""

    def rebuild(self, kept: Path) -> None:
        """Have the device there without a container, its agent's journal from *kept*, no agent."""


class Site(Protocol):
    """One lab."""

    @property
    def services(self) -> Sequence[Service]:
        """List the services, in the order to stop them: each before those that it needs."""

    @property
    def stores(self) -> Sequence[Store]:
        """List what the services keep."""

    @property
    def machines(self) -> Sequence[Machine]:
        """List the machines."""

    @property
    def journals(self) -> Sequence[Journal]:
        """List the host devices."""

    def key(self) -> Key:
        """Tell what a snapshot of it fits. Needs nothing that runs."""

    def require_well(self) -> None:
        """Refuse where anything isn't as the lab wants it."""

    def raise_ground(self) -> None:
        """Have the services run, and whatever machines stand on."""

    def raise_all(self) -> None:
        """Have everything as the lab wants it."""

    def await_heard(self, since: datetime) -> Mapping[str, datetime]:
        """
        Wait until each device was heard after *since*, and return when it last was.

        :raises WaitTimedOut: says which were not.
        """
