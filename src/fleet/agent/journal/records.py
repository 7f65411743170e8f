"""
What the journal holds of a deployment that the hub doesn't know: what this device did. Pure.

    fleet-record 1 <SHA-256 of the second line>
    {"deployment":"web","formerly":["pi-01"],"runs":[{"service":"job","digest":…,"exit_code":0}]}

It stands beside the entry, in a file of its own, where agents of the first version don't look:
going back to one of those, and coming again, loses none of it.
"""

from fleet import errors
from fleet.agent.journal import framing
from fleet.agent.model.runs import Run, Stop
from fleet.contracts import messages
from fleet.contracts.names import DeploymentName

_HEAD = b"fleet-record 1 "


class Record(messages.Message, frozen=True):
    """
    What was done for *deployment*. *formerly* are the ids that this device had before.

    *stops* are runs that the agent was about to end, or had ended and not yet made good for.
    """

    deployment: str
    formerly: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()
    stops: tuple[Stop, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remember."""
        return not (self.formerly or self.runs or self.stops)


def encode(record: Record) -> bytes:
    """Write *record* as the content of a file."""
    return framing.encode(_HEAD, record)


def decode(deployment: DeploymentName, data: bytes) -> Record:
    """
    Read the content of the file of *deployment*.

    :raises errors.DamagedJournal: it isn't what an agent wrote there.
    """
    record = framing.decode(_HEAD, data, Record)
    if record.deployment != deployment:
        raise errors.DamagedJournal(f"it is about {record.deployment}")
    return record
