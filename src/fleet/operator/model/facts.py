"""What is known about one key of `desired-state`: what `decisions.publishing` decides from."""

from dataclasses import dataclass

from fleet.bus.port import Entry, Put
from fleet.contracts.messages import ReconcileScore


@dataclass(frozen=True, slots=True)
class Facts:
    """
    All that is known about one key.

    *ended*: the value's owner exists, and is being deleted or no longer matches
    the device, which is known; or the device is being deleted. *unclaimed*: nobody may want
    it: the owner of the value doesn't exist, and no deployment of this name wants the device;
    without a value, the device is known besides. *unread*: the device has no object, or one
    that is being deleted or was made after the marker, and hasn't said that all is gone.
    *removable*: the orphan that stands there may go. *remade*: the owner was made again.
    """

    wanted: ReconcileScore | None = None
    entry: Entry[ReconcileScore] | None = None
    has_state: bool = False
    ended: bool = False
    unclaimed: bool = False
    unread: bool = False
    removable: bool = False
    remade: bool = False


def tells(entry: Entry[ReconcileScore] | None, wanted: ReconcileScore | None) -> bool:
    """Tell whether the wanted content of the same owner stands there, of whichever generation."""
    if not isinstance(entry, Put) or wanted is None or wanted.owner is None:
        return False
    found = entry.value
    return (
        found.owner is not None
        and found.owner.uid == wanted.owner.uid
        and found.revision == wanted.revision
    )
