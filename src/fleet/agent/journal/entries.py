"""
What the journal holds about one deployment, and how that looks in a file. Pure.

    fleet-journal 1 <SHA-256 of the second line>
    {"device_id":"pi-01","deployment":"web","desired":{…},"kept":{…}}

An entry is the last word of the hub: the *desired* value as it was read, why it
was *unreadable*, or that the deployment *is_withdrawn*. Beside a value that
can't be understood stands the last good one, *kept*, which is in force. So
what an agent does after a restart is what it did before.

`decode` returns what `encode` was given, or raises: a file that is cut off,
altered, of another format or deployment says nothing. One of another device is of this one,
which had another id then: what lies on a disk is that device's.
"""

import msgspec

from fleet import errors
from fleet.agent.journal import framing
from fleet.agent.model import intents
from fleet.contracts import messages
from fleet.contracts.names import DeploymentName, DeviceId

_HEAD = b"fleet-journal 1 "


class Entry(messages.Message, frozen=True):
    """The last word about *deployment*. *device_id* is that of the device when it was written."""

    device_id: str
    deployment: str
    is_withdrawn: bool = False
    desired: messages.ReconcileScore | None = None
    unreadable: str = ""
    kept: messages.ReconcileScore | None = None


def of(device_id: DeviceId, deployment: DeploymentName, intent: intents.Intent) -> Entry | None:
    """Make the entry that brings *intent* back; None where the hub said nothing yet."""
    entry = Entry(device_id=str(device_id), deployment=str(deployment))
    replace = msgspec.structs.replace
    match intent:
        case intents.Apply(source=messages.ReconcileScore() as desired):
            return replace(entry, desired=desired)
        case intents.Refuse(source=None, message=message, kept=kept):
            return replace(entry, unreadable=message, kept=_source(kept))
        case intents.Refuse(source=desired, kept=kept):
            return replace(entry, desired=desired, kept=_source(kept))
        case intents.Withdraw():
            return replace(entry, is_withdrawn=True)
        case _:
            return None


def intent(entry: Entry) -> intents.Intent:
    """Tell what is to be done, as this version of the agent understands it."""
    if entry.is_withdrawn:
        return intents.Withdraw()
    deployment = DeploymentName(entry.deployment)
    kept = intents.read(deployment, entry.kept, None) if entry.kept else None
    if entry.desired is None:
        return intents.undecodable(entry.unreadable, kept)
    return intents.read(deployment, entry.desired, kept)


def encode(entry: Entry) -> bytes:
    """Write *entry* as the content of a file."""
    return framing.encode(_HEAD, entry)


def decode(deployment: DeploymentName, data: bytes) -> Entry:
    """
    Read the content of the file of *deployment*.

    :raises errors.DamagedJournal: it isn't what an agent wrote there.
    """
    entry = framing.decode(_HEAD, data, Entry)
    try:
        DeviceId(entry.device_id)
    except errors.InvalidName as exc:
        raise errors.DamagedJournal(str(exc)) from exc
    if entry.deployment != deployment:
        raise errors.DamagedJournal(f"it is about {entry.deployment}")
    return entry


def _source(kept: intents.Apply | intents.Keep) -> messages.ReconcileScore | None:
    return kept.source if isinstance(kept, intents.Apply) else None
