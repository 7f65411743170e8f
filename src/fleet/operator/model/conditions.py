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


def timestamp(at: datetime) -> str:
    """Render a time as Kubernetes does: UTC, whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
