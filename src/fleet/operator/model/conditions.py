"""Conditions of a status: built whole, with a transition time that moves only upon a change."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Truth(StrEnum):
    """The value of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, before it has a time."""

    type: str
    status: Truth
    reason: str
    message: str = ""


def render(
    conditions: Iterable[Condition], before: Mapping[str, Any], now: datetime
) -> list[dict[str, Any]]:
    """Render *conditions*, keeping the time of those whose status *before* was the same."""
    known = {c.get("type"): c for c in before.get("conditions") or ()}
    return [_render(condition, known.get(condition.type), now) for condition in conditions]


def stands(wanted: Mapping[str, Any], before: Mapping[str, Any], own: frozenset[str]) -> bool:
    """
    Tell whether the status *wanted* stands *before*, whatever others added to it.

    *own* are the types of our conditions: all others belong to somebody else.
    """
    fields = all(before.get(key) == v for key, v in wanted.items() if key != "conditions")
    found = {c.get("type"): c for c in before.get("conditions") or ()}
    asked = {c["type"]: c for c in wanted["conditions"]}
    told = all(c.items() <= found.get(type_, {}).items() for type_, c in asked.items())
    return fields and told and not (found.keys() & own) - asked.keys()


def timestamp(at: datetime) -> str:
    """Render a time as Kubernetes does: UTC, whole seconds, a year of four digits."""
    utc = at.astimezone(UTC).replace(microsecond=0, tzinfo=None)
    return f"{utc.isoformat()}Z"


def truth(word: object) -> Truth:
    """Read the status of a condition that stands somewhere, whoever wrote it."""
    return next((known for known in Truth if known == word), Truth.UNKNOWN)


def _render(
    condition: Condition, before: Mapping[str, Any] | None, now: datetime
) -> dict[str, Any]:
    same = before is not None and before.get("status") == condition.status
    since = before.get("lastTransitionTime") if before is not None and same else None
    return {
        "type": condition.type,
        "status": str(condition.status),
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": since or timestamp(now),
    }
