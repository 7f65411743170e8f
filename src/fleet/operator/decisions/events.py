"""
What people are told about a resource, as Kubernetes Events: decided from two statuses.

A status says what is so; an Event says that it has become so, once. After a
restart the status that stands is the one before, so nothing is told again.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from fleet import errors
from fleet.contracts import resources
from fleet.contracts.messages import DUPLICATE_AGENT
from fleet.operator.decisions.finalizers import Verdict
from fleet.operator.model.aggregation import Aggregate
from fleet.operator.model.custom_resources import Deployment, Device

SHOWN: Final = 10

INTERNAL_ERROR: Final = errors.InternalError.reason

Status = Mapping[str, Any]


class Severity(StrEnum):
    """The type of a Kubernetes Event."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Subject:
    """The object that an Event is about; *namespace* is empty where it has none."""

    kind: str
    name: str
    uid: str
    namespace: str = ""
    api_version: str = resources.API_VERSION


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that people are told."""

    about: Subject
    severity: Severity
    reason: str
    message: str


# About no object in particular: the namespace that Fleet is in.
FLEET: Final = Subject("Namespace", resources.NAMESPACE, "", resources.NAMESPACE, "v1")


def subject(resource: Deployment | Device) -> Subject:
    """Say whom an Event about *resource* is about."""
    match resource:
        case Deployment(name=name, uid=uid, namespace=namespace):
            return Subject(resources.DEPLOYMENT_KIND, str(name), uid, namespace)
        case Device(id=name, uid=uid):
            return Subject(resources.DEVICE_KIND, str(name), uid)


def of_deployment(
    deployment: Deployment, sums: Aggregate, before: Status, after: Status
) -> Iterator[Event]:
    """Tell how a deployment fares, where *after* differs from *before*."""
    about = subject(deployment)
    refusal = _refusal(after)
    if refusal is not None and refusal != _refusal(before):
        yield Event(about, Severity.WARNING, *refusal)
    if _fails_more(before, after):
        yield Event(about, Severity.WARNING, "DevicesFailed", failures(sums))
    if _is_true(after, "Available") and not _is_true(before, "Available"):
        message = _condition(after, "Available")["message"]
        yield Event(about, Severity.NORMAL, "Available", message)


def of_released(deployment: Deployment, verdict: Verdict) -> Iterator[Event]:
    """Tell which devices may still run a deployment that is let go."""
    if verdict.left:
        message = f"{len(verdict.left)} not heard, to clean up when they return: "
        message += _listing(verdict.left)
        yield Event(subject(deployment), Severity.WARNING, "DevicesLeft", message)


def of_registered(device: Device) -> Event:
    """Tell that a device has become known."""
    return Event(subject(device), Severity.NORMAL, "Registered", "the device told what it is")


def of_device(device: Device, before: Status, after: Status) -> Iterator[Event]:
    """Tell how a device fares, where *after* differs from *before*."""
    about = subject(device)
    if _is_true(after, "Stale") and not _is_true(before, "Stale"):
        yield Event(about, Severity.WARNING, "Stale", _condition(after, "Stale")["message"])
    if _is_true(before, "Stale") and not _is_true(after, "Stale"):
        yield Event(about, Severity.NORMAL, "Heard", "the device is heard again")
    for type_ in ("LabelConflict", "LabelsRefused", DUPLICATE_AGENT):
        message = _condition(after, type_).get("message")
        if message and message != _condition(before, type_).get("message"):
            yield Event(about, Severity.WARNING, type_, message)
    yield from _problems(about, before.get("problems") or (), after.get("problems") or ())


def of_decommissioned(device: Device, verdict: Verdict) -> Event:
    """Tell that a device was taken leave of, and what it may still run."""
    if not verdict.left:
        message = "its workloads are withdrawn and its keys removed"
        return Event(subject(device), Severity.NORMAL, "Decommissioned", message)
    message = f"it may still run {_listing(verdict.left)}: it is told to stop when it comes back"
    return Event(subject(device), Severity.WARNING, "Decommissioned", message)


def of_orphans(reason: str, message: str) -> Event:
    """Tell what becomes of keys that no resource owns: about the namespace that Fleet is in."""
    return Event(FLEET, Severity.WARNING, reason, message)


def of_failure(about: Subject, part: str, message: str) -> Event:
    """Tell of a failure that nobody foresaw, in the operator's work for an object."""
    text = f"{part}: {message}; it is tried again, and nothing else waits for it"
    return Event(about, Severity.WARNING, INTERNAL_ERROR, text)


def failures(sums: Aggregate) -> str:
    """Sum up who failed and why: ``3 of 20 devices failed: ImageNotFound on pi-03, pi-07, …``."""
    by_reason: defaultdict[str, list[str]] = defaultdict(list)
    for device, failure in sums.failures:
        by_reason[failure.reason].append(str(device))
    parts = [f"{reason} on {', '.join(names)}" for reason, names in sorted(by_reason.items())]
    more = ", …" if sums.failed > len(sums.failures) else ""
    devices = "1 device" if sums.matched == 1 else f"{sums.matched} devices"
    return f"{sums.failed} of {devices} failed: {'; '.join(parts)}{more}"


def _refusal(status: Status) -> tuple[str, str] | None:
    accepted = _condition(status, "Accepted")
    if accepted.get("status") != "False":
        return None
    return str(accepted.get("reason")), str(accepted.get("message"))


def _fails_more(before: Status, after: Status) -> bool:
    was, now = before.get("aggregate") or {}, after.get("aggregate") or {}
    joined = set(now.get("failing") or ()) - set(was.get("failing") or ())
    return bool(now.get("failed", 0) > was.get("failed", 0) or joined)


def _problems(
    about: Subject, before: Iterable[Mapping[str, str]], after: Iterable[Mapping[str, str]]
) -> Iterator[Event]:
    known = {problem.get("reason") for problem in before} - {DUPLICATE_AGENT}
    standing = [p for p in after if p.get("reason") != DUPLICATE_AGENT]
    for problem in standing:
        if problem.get("reason") not in known:
            yield _problem(about, problem)
    if known and not standing:
        yield Event(about, Severity.NORMAL, "RuntimeUsable", "the device has no problem any more")


def _problem(about: Subject, problem: Mapping[str, str]) -> Event:
    """
    Tell of a problem; its reason is the device's word, which may be anything.

    Only Fleet's own make series of Events: what devices invent would be without end.
    """
    reason, message = problem.get("reason", ""), problem.get("message", "")
    if reason in errors.REASONS:
        return Event(about, Severity.WARNING, reason, message or reason)
    return Event(about, Severity.WARNING, "DeviceProblem", f"{reason}: {message}")


def _condition(status: Status, type_: str) -> Mapping[str, Any]:
    return next((c for c in status.get("conditions") or () if c.get("type") == type_), {})


def _is_true(status: Status, type_: str) -> bool:
    return _condition(status, type_).get("status") == "True"


def _listing(names: Iterable[str]) -> str:
    shown = [str(name) for name in names]
    return ", ".join(shown[:SHOWN]) + (", …" if len(shown) > SHOWN else "")
