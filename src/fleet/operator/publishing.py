"""
What is written to one key of `desired-state`, decided from what is known about it.

| The key holds …   | Wanted              | Not wanted                                         |
|-------------------|---------------------|----------------------------------------------------|
| nothing           | put                 | marker, if a state stands there that nobody claims |
| what is wanted    | nothing to do       |                                                    |
| something else    | put, but not over a | marker, if its owner is known to have ended it;    |
|                   | higher generation   | else it is an orphan                               |
| a marker          | put                 | purge, once the state is gone, while the device is |
|                   |                     | registered: of one that isn't, nobody knows what   |
|                   |                     | it read                                            |
| undecodable bytes | put                 | marker, if the device is leaving; else an orphan   |

Absence is not an instruction: a marker needs *positive* evidence, which is
what `Facts.ended` and `Facts.unclaimed` stand for. Nothing is decided at all
before everything was listed once (`fleet.operator.barrier`).
"""

from dataclasses import dataclass
from typing import TypeAlias, assert_never

from fleet.bus.port import Deleted, Entry, Put, Undecodable
from fleet.contracts.messages import ReconcileScore


@dataclass(frozen=True, slots=True)
class Facts:
    """
    All that is known about one key.

    *ended*: the value's owner exists, and is being deleted or no longer matches
    the device, which is known. *unclaimed*: the device is known, and no
    deployment of this name wants it. Both hold of a device that is being
    deleted. *unregistered*: it is, or has no object.
    """

    wanted: ReconcileScore | None = None
    entry: Entry[ReconcileScore] | None = None
    has_state: bool = False
    ended: bool = False
    unclaimed: bool = False
    unregistered: bool = False


@dataclass(frozen=True, slots=True)
class PutValue:
    """Write *value* over revision *last*."""

    value: ReconcileScore
    last: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Write a delete marker over revision *last*."""

    last: int


@dataclass(frozen=True, slots=True)
class Purge:
    """Remove the marker of revision *last*: everybody who had to read it did."""

    last: int


@dataclass(frozen=True, slots=True)
class Orphan:
    """Leave the value alone and report it: nobody is known to have ended it."""

    owner_uid: str = ""


Action: TypeAlias = PutValue | Mark | Purge | Orphan


def decide(facts: Facts) -> Action | None:
    """Say what to write to a key, if anything."""
    if facts.wanted is not None:
        return _publish(facts.wanted, facts.entry)
    return _withdraw(facts)


def _publish(wanted: ReconcileScore, entry: Entry[ReconcileScore] | None) -> Action | None:
    match entry:
        case None:
            return PutValue(wanted, last=0)
        case Put(value=value) if _stands(wanted, value):
            return None
        case Put() | Deleted() | Undecodable():
            return PutValue(wanted, last=entry.revision)
        case _:
            assert_never(entry)


def _stands(wanted: ReconcileScore, found: ReconcileScore) -> bool:
    if wanted.owner is None or found.owner is None or wanted.owner.uid != found.owner.uid:
        return False
    # A higher generation was written by an operator that knows more than this one.
    return wanted.revision == found.revision or found.owner.generation > wanted.owner.generation


def _withdraw(facts: Facts) -> Action | None:
    match facts.entry:
        case None:
            return Mark(last=0) if facts.has_state and facts.unclaimed else None
        case Put(value=value, revision=revision):
            if facts.ended:
                return Mark(last=revision)
            return Orphan(value.owner.uid if value.owner else "")
        case Deleted(revision=revision):
            return None if facts.has_state or facts.unregistered else Purge(revision)
        case Undecodable(revision=revision):
            return Mark(last=revision) if facts.ended else Orphan()
        case _:
            assert_never(facts.entry)
