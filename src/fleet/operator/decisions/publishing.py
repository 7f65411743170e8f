"""
What is written to one key of `desired-state`, decided from what is known about it.

| The key holds …   | Wanted              | Not wanted                                         |
|-------------------|---------------------|----------------------------------------------------|
| nothing           | put                 | an orphan, if a state stands there without a claim |
| what is wanted    | nothing to do       |                                                    |
| something else    | put, but not over a | marker, if its owner is known to have ended it;    |
|                   | higher generation   | an orphan, if it has no owner; else it is kept     |
| a marker          | put                 | purge, once the state is gone, unless nobody knows |
|                   |                     | whether the device read it                         |
| undecodable bytes | put                 | an orphan, unless somebody may want it             |

Of a device that is leaving, everything has ended.

Absence is not an instruction: a marker needs *positive* evidence, which is
what `Facts.ended` stands for. An orphan gets one only once it is removable
(`fleet.operator.decisions.orphans`). Nothing is decided at all before everything was
listed once (`fleet.operator.watches.sync_barrier`).
"""

from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

from fleet.bus.port import Deleted, Entry, Put, Undecodable
from fleet.contracts.messages import ReconcileScore
from fleet.operator.model.facts import Facts


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
class Leave:
    """Leave an orphan at revision *last* alone, and report it: nobody is known to have ended it."""

    last: int
    owner_uid: str = ""
    remade: bool = False


Action: TypeAlias = PutValue | Mark | Purge | Leave


def decide(facts: Facts) -> Action | None:
    """Say what to write to a key, if anything."""
    if facts.wanted is not None:
        return _publish(facts.wanted, facts.entry)
    return _withdraw(facts)


def orphan(facts: Facts) -> Leave | None:
    """Say whether an orphan stands there, removable or not."""
    action = decide(replace(facts, removable=False))
    return action if isinstance(action, Leave) else None


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
        case None if not facts.has_state:
            return None
        case None:
            return Mark(last=0) if facts.ended else _orphan(facts, 0)
        case Put(revision=revision) | Undecodable(revision=revision) if facts.ended:
            return Mark(last=revision)
        case Put(revision=revision, value=value):
            return _orphan(facts, revision, value.owner.uid if value.owner else "")
        case Undecodable(revision=revision):
            return _orphan(facts, revision)
        case Deleted(revision=revision):
            return None if facts.has_state or facts.unread else Purge(revision)
        case _:
            assert_never(facts.entry)


def _orphan(facts: Facts, revision: int, owner_uid: str = "") -> Action | None:
    if not facts.unclaimed:
        return None
    return Mark(revision) if facts.removable else Leave(revision, owner_uid, facts.remade)
