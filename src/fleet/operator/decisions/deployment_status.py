"""
The status of a `Deployment`, built whole from what is known: one writer, one patch.

| Condition     | is True when                                            |
|---------------|---------------------------------------------------------|
| `Accepted`    | the spec can be used, and the name is this resource's   |
| `Progressing` | some device hasn't got what is wanted yet               |
| `Available`   | every matched device, one at least, runs what is wanted |
| `Degraded`    | some device failed, or is silent                        |

What `Progressing` says, by the first that applies:

| Situation                                | Status  | Reason          |
|------------------------------------------|---------|-----------------|
| the spec, or the name, isn't accepted    | False   | `NotAccepted`   |
| no device matches                        | False   | `NoMatch`       |
| some device hasn't told what is wanted   | True    | `RollingOut`    |
| some device failed with what is wanted   | False   | `DevicesFailed` |
| some device is silent                    | Unknown | `DevicesSilent` |
| every matched device runs what is wanted | False   | `Complete`      |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fleet.contracts import bounds
from fleet.operator.model.aggregation import Aggregate
from fleet.operator.model.conditions import Condition, Truth, render, timestamp
from fleet.operator.model.custom_resources import Deployment, Refusal

OWN_CONDITIONS = frozenset({"Accepted", "Progressing", "Available", "Degraded"})


@dataclass(frozen=True, slots=True)
class Situation:
    """What a status is built from. *devices* counts the fleet; *refusal* is None when accepted."""

    deployment: Deployment
    aggregate: Aggregate
    devices: int
    refusal: Refusal | None = None


def build(situation: Situation, before: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Build the status; *before* is the one that stands there."""
    conditions = (
        _accepted(situation.refusal),
        _progressing(situation),
        _available(situation),
        _degraded(situation.aggregate),
    )
    return {
        "observedGeneration": situation.deployment.generation,
        "ready": f"{situation.aggregate.running}/{situation.aggregate.matched}",
        "reason": _reason(conditions),
        "aggregate": _aggregate(situation.aggregate),
        "conditions": render(conditions, before, now),
    }


def refusal(deployment: Deployment, holder: Deployment | None) -> Refusal | None:
    """Say why *deployment* isn't accepted, if it isn't."""
    if holder is not None and holder.uid != deployment.uid:
        return Refusal(
            "NameConflict",
            f"the name {deployment.name!s} is held by {holder.namespace}/{holder.name!s}",
        )
    return deployment.refusal


def _reason(conditions: tuple[Condition, ...]) -> str:
    """Choose the one word for what keeps the deployment from being ready."""
    accepted, progressing, available, degraded = conditions
    if accepted.status is Truth.FALSE:
        return accepted.reason
    if available.status is Truth.TRUE:
        return ""
    for condition in (degraded, progressing):
        if condition.status is Truth.TRUE:
            return condition.reason
    return available.reason


def _aggregate(sums: Aggregate) -> dict[str, Any]:
    rendered: dict[str, Any] = {
        "matched": sums.matched,
        "pending": sums.pending,
        "running": sums.running,
        "failed": sums.failed,
        "unknown": sums.unknown,
        "failing": [str(device) for device in sums.failing],
    }
    if sums.last_error is not None:
        device, failure = sums.last_error
        rendered["lastError"] = {
            "deviceId": str(device),
            "reason": failure.reason,
            "message": bounds.shown(failure.message),
            "at": timestamp(failure.at),
        }
    return rendered


def _accepted(refused: Refusal | None) -> Condition:
    if refused is None:
        return Condition("Accepted", Truth.TRUE, "Accepted")
    return Condition("Accepted", Truth.FALSE, refused.reason, bounds.shown(refused.message))


def _progressing(situation: Situation) -> Condition:
    sums = situation.aggregate
    of_all = f"of {_devices(sums.matched)}"
    if idle := _idle(situation):
        return Condition("Progressing", Truth.FALSE, *idle)
    if sums.pending:
        pending = f"{sums.pending} {of_all} pending"
        return Condition("Progressing", Truth.TRUE, "RollingOut", pending)
    if sums.failed:
        failed = f"{sums.failed} {of_all} failed"
        return Condition("Progressing", Truth.FALSE, "DevicesFailed", failed)
    if sums.unknown:
        unknown = f"{sums.unknown} {of_all} not heard"
        return Condition("Progressing", Truth.UNKNOWN, "DevicesSilent", unknown)
    return Condition("Progressing", Truth.FALSE, "Complete")


def _available(situation: Situation) -> Condition:
    sums = situation.aggregate
    running = f"{sums.running} of {_devices(sums.matched)} running"
    if sums.matched and sums.running == sums.matched:
        return Condition("Available", Truth.TRUE, "AllRunning", running)
    if idle := _idle(situation):
        return Condition("Available", Truth.FALSE, *idle)
    return Condition("Available", Truth.FALSE, "NotAllRunning", running)


def _degraded(sums: Aggregate) -> Condition:
    if sums.last_error is not None:
        device, failure = sums.last_error
        message = f"{device!s}: {failure.message or failure.reason}"
        if sums.failed > 1:
            message = f"{sums.failed} devices failed, the last was {message}"
        return Condition("Degraded", Truth.TRUE, failure.reason, bounds.shown(message))
    if sums.unknown:
        return Condition(
            "Degraded", Truth.TRUE, "DevicesSilent", f"{_devices(sums.unknown)} not heard"
        )
    return Condition("Degraded", Truth.FALSE, "AsExpected")


def _idle(situation: Situation) -> tuple[str, str] | None:
    """Say why nothing is to be done at all, if so."""
    if situation.refusal is not None:
        return "NotAccepted", ""
    if not situation.aggregate.matched:
        return "NoMatch", f"matches 0 of {_devices(situation.devices)}"
    return None


def _devices(count: int) -> str:
    return f"{count} device" if count == 1 else f"{count} devices"
