"""
What a `Device` object says, decided from what the device told and how it is heard.

Labels come from the device, within limits: an administrator's label wins where
both name a key, and some domains are not the device's to speak for. What is
missing or doesn't decode changes nothing. A status that differs in nothing but
the time of the last heartbeat is not written.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from fleet.contracts import bounds, device_labels
from fleet.contracts.messages import (
    DUPLICATE_AGENT,
    HARMLESS_PROBLEMS,
    DeviceInfo,
    Inventory,
    Problem,
)
from fleet.operator.model.conditions import Condition, Truth, render, stands, timestamp, truth
from fleet.operator.model.custom_resources import Device
from fleet.operator.model.presence import Hearing

MAX_PROBLEMS = 16
MAX_KEY = 80
MAX_COLUMN = 256
SHORT = 12
NO_HEARTBEAT = (
    "no heartbeat: look whether the device is up and reaches the hub;"
    " `fleet-agent status` on the device tells"
)
OWN_CONDITIONS = frozenset({"Ready", "Stale", DUPLICATE_AGENT, "LabelConflict", "LabelsRefused"})


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels that a device may have, and those it may not, with the reason."""

    allowed: Mapping[str, str]
    refused: tuple[str, ...] = ()


def sort_labels(labels: Mapping[str, str]) -> Labels:
    """Tell the labels that may stand on an object from those that may not."""
    faults = {key: _fault(key, value) for key, value in sorted(labels.items())}
    return Labels(
        allowed={key: labels[key] for key, fault in faults.items() if not fault},
        refused=tuple(
            f"{bounds.shown(key, MAX_KEY)!r} {fault}" for key, fault in faults.items() if fault
        ),
    )


def labels_to_apply(info: DeviceInfo | None, device: Device | None) -> dict[str, str] | None:
    """
    Say which labels to apply as the operator's own, or None when nothing is to be applied.

    They are applied along with the finalizer; a device that is leaving is left alone.
    """
    if device is None:
        return None if info is None else dict(sort_labels(info.labels).allowed)
    if device.deleting_since is not None:
        return None
    wanted = _own_labels(info, device)
    return None if wanted == device.own_labels and device.has_finalizer else wanted


def status_to_apply(
    info: DeviceInfo | None,
    device: Device,
    hearing: Hearing,
    *,
    duplicate_agents: tuple[str, ...] | None = (),
    heard_at: datetime | None,
    now: datetime,
    deployments: str = "",
) -> dict[str, Any] | None:
    """
    Say which status to apply, or None when it stands already.

    *deployments* is how many run there of those that match. Conditions of others are theirs.
    *duplicate_agents* are the instances of the agent that take turns; None: not known yet.
    """
    conditions = [*_conditions(info, device, hearing), *_duplicates(info, device, duplicate_agents)]
    last = device.status.get("lastHeartbeat", "")
    told = timestamp(heard_at) if heard_at is not None else last
    described = _description(info, device.status)
    wanted = {
        **described,
        "summary": {
            "deployments": deployments,
            "labels": _listed(device.labels),
            "lastHeard": _last_heard(device, hearing, told),
            "runtimes": _listed(described.get("inventory", {}).get("runtimes", {})),
            "problems": _joined(problem["reason"] for problem in described.get("problems", ())),
        },
        "conditions": render(conditions, device.status, now),
    }
    if stands(wanted, device.status, OWN_CONDITIONS):
        return None
    return {**wanted, "lastHeartbeat": told} if told else wanted


def _own_labels(info: DeviceInfo | None, device: Device) -> dict[str, str]:
    if info is None:
        return dict(device.own_labels)
    allowed = sort_labels(info.labels).allowed
    return {key: v for key, v in allowed.items() if key not in device.foreign_labels}


def is_stale(device: Device) -> bool:
    """Tell whether the object says that the device was silent."""
    return _truth(device.status, "Stale") == Truth.TRUE


def _fault(key: str, value: str) -> str:
    if not device_labels.is_key(key):
        return "is not a label key"
    if device_labels.is_reserved(key):
        return f"is in a reserved domain ({', '.join(device_labels.RESERVED_DOMAINS)})"
    if not device_labels.VALUE.fits(value):
        return "has a value that labels can't have"
    return ""


def _description(info: DeviceInfo | None, before: Mapping[str, Any]) -> dict[str, Any]:
    if info is None:
        known = ("inventory", "agentVersion", "problems")
        return {key: before[key] for key in known if key in before}
    return {
        "inventory": _inventory(info.inventory),
        "agentVersion": info.agent_version,
        "problems": [_problem(problem) for problem in info.problems[:MAX_PROBLEMS]],
    }


def _inventory(inventory: Inventory) -> dict[str, Any]:
    return {
        "hostname": inventory.hostname,
        "arch": inventory.arch,
        "os": inventory.os,
        "kernel": inventory.kernel,
        "cpus": inventory.cpus,
        "memoryBytes": inventory.memory_bytes,
        "diskBytes": inventory.disk_bytes,
        "runtimes": dict(inventory.runtimes),
    }


def _problem(problem: Problem) -> dict[str, str]:
    return {"reason": problem.reason, "message": problem.message}


def _last_heard(device: Device, hearing: Hearing, told: str) -> str:
    """A heartbeat alone changes nothing, so no time can be told of a device that is heard."""
    match hearing:
        case Hearing.HEARD:
            return "now"
        case Hearing.SILENT:
            return told
        case Hearing.AWAITED:
            return str((device.status.get("summary") or {}).get("lastHeard", ""))
        case _:
            assert_never(hearing)


def _listed(items: Mapping[str, str]) -> str:
    return _joined(f"{key}={value}" for key, value in sorted(items.items()))


def _joined(items: Iterable[str]) -> str:
    """Join for a column; what is told twice is shown once, and what is too long is cut."""
    text = ",".join(dict.fromkeys(items))
    return text if len(text) <= MAX_COLUMN else f"{text[: MAX_COLUMN - 3]}..."


def _conditions(info: DeviceInfo | None, device: Device, hearing: Hearing) -> Iterator[Condition]:
    yield _ready(info, device, hearing)
    yield _stale(device, hearing)
    if info is None:
        return
    labels = sort_labels(info.labels)
    conflicting = [
        key
        for key, value in labels.allowed.items()
        if key in device.foreign_labels and device.labels.get(key) != value
    ]
    if conflicting:
        conflicts = (
            f"{key}={device.labels.get(key)} is set by {device.foreign_labels[key]},"
            f" the device says {labels.allowed[key]!r}"
            for key in conflicting
        )
        keys = " ".join(f"{key}-" for key in conflicting)
        advice = f"what the device says stands after: kubectl label fleetdev {device.id} {keys}"
        yield _listing("LabelConflict", "SetByAdministrator", [*conflicts, advice])
    if labels.refused:
        advice = "change them in the agent's configuration"
        yield _listing("LabelsRefused", "InvalidLabels", [*labels.refused, advice])


def _ready(info: DeviceInfo | None, device: Device, hearing: Hearing) -> Condition:
    if hearing is Hearing.SILENT:
        return Condition("Ready", Truth.FALSE, "Silent", NO_HEARTBEAT)
    for problem in info.problems if info is not None else ():
        if problem.reason not in HARMLESS_PROBLEMS:
            return Condition("Ready", Truth.FALSE, problem.reason, problem.message)
    if hearing is Hearing.HEARD:
        return Condition("Ready", Truth.TRUE, "Heard")
    return _unchanged("Ready", device)


def _stale(device: Device, hearing: Hearing) -> Condition:
    if hearing is Hearing.SILENT:
        return Condition("Stale", Truth.TRUE, "Silent", NO_HEARTBEAT)
    if hearing is Hearing.HEARD:
        return Condition("Stale", Truth.FALSE, "Heard")
    return _unchanged("Stale", device)


def _duplicates(
    info: DeviceInfo | None, device: Device, duplicate_agents: tuple[str, ...] | None
) -> Iterator[Condition]:
    if duplicate_agents:
        names = " and ".join(bounds.shown(instance[:SHORT]) for instance in duplicate_agents)
        message = f"agents {names} both call themselves {device.id}: stop one, or rename it"
        yield Condition(DUPLICATE_AGENT, Truth.TRUE, "InstancesAlternate", message)
        return
    for problem in info.problems if info is not None else ():
        if problem.reason == DUPLICATE_AGENT:
            yield Condition(DUPLICATE_AGENT, Truth.TRUE, "ToldByAgent", problem.message)
            return
    if duplicate_agents is None and _truth(device.status, DUPLICATE_AGENT) == Truth.TRUE:
        yield _unchanged(DUPLICATE_AGENT, device)


def _unchanged(type_: str, device: Device) -> Condition:
    """Say again what the object says, while the device is awaited."""
    for condition in device.status.get("conditions") or ():
        if condition.get("type") == type_:
            return Condition(
                type_,
                truth(condition.get("status")),
                condition.get("reason", ""),
                condition.get("message", ""),
            )
    return Condition(type_, Truth.UNKNOWN, "Awaited", "no heartbeat yet")


def _truth(status: Mapping[str, Any], type_: str) -> str | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == type_:
            return str(condition.get("status"))
    return None


def _listing(type_: str, reason: str, items: Iterable[str]) -> Condition:
    return Condition(type_, Truth.TRUE, reason, bounds.shown("; ".join(items)))
