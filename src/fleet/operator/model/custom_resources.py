"""
The custom resources as the operator sees them: typed, frozen, read from plain JSON.

A `Deployment` whose spec can't be used is still a deployment, with a
`Refusal` in place of its score: its owner reads the reason in its status.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fleet import errors
from fleet.contracts import bounds, scores
from fleet.contracts.messages import DESIRED_STATE, Owner, ReconcileScore
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.contracts.resources import FINALIZER
from fleet.operator.model.matching import selectors
from fleet.operator.model.matching.selectors import Selector

FIELD_MANAGER = "fleet-operator"
BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a spec can't be used, as its `Accepted` condition says it."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """What somebody wants on the devices that *selector* matches."""

    namespace: str
    name: DeploymentName
    uid: str
    generation: int
    created: datetime
    selector: Selector
    score: ReconcileScore | None = None
    refusal: Refusal | None = None
    deleting_since: datetime | None = None
    # Without its finalizer it may vanish while nobody looks, and leave orphans behind.
    has_finalizer: bool = True
    # Written by the operator alone, so a change of it is no change of the deployment.
    status: Mapping[str, Any] = field(default_factory=dict, compare=False)
    version: int = field(default=0, compare=False)

    @property
    def place(self) -> tuple[str, str]:
        """Namespace and name: what stays the same when the resource is made again."""
        return self.namespace, str(self.name)

    def may_want(self, labels: Mapping[str, str]) -> bool:
        """Tell whether this deployment may want a device with *labels*; a refused one may."""
        if self.deleting_since is not None:
            return False
        return self.refusal is not None or self.selector.matches(labels)


@dataclass(frozen=True, slots=True)
class Device:
    """
    A device as the API server has it. *labels* are the effective ones.

    *foreign_labels* maps those that aren't the operator's to who set them: field managers.
    """

    id: DeviceId
    uid: str
    labels: Mapping[str, str]
    own_labels: Mapping[str, str] = field(default_factory=dict)
    foreign_labels: Mapping[str, str] = field(default_factory=dict)
    deleting_since: datetime | None = None
    has_finalizer: bool = True
    created: datetime = BEGINNING
    status: Mapping[str, Any] = field(default_factory=dict)
    version: int = field(default=0, compare=False)


def parse_deployment(body: Mapping[str, Any]) -> Deployment:
    """
    Read a `Deployment`.

    :raises errors.InvalidName: its name can't be part of a key.
    """
    meta = body["metadata"]
    selector, score, refusal = _intent(body.get("spec") or {}, _owner(meta))
    return Deployment(
        namespace=meta["namespace"],
        name=DeploymentName(meta["name"]),
        uid=meta["uid"],
        generation=meta.get("generation", 0),
        created=_time(meta["creationTimestamp"]),
        selector=selector,
        score=score,
        refusal=refusal,
        deleting_since=_time_or_none(meta.get("deletionTimestamp")),
        has_finalizer=FINALIZER in (meta.get("finalizers") or ()),
        status=body.get("status") or {},
        version=int(meta.get("resourceVersion") or 0),
    )


def parse_device(body: Mapping[str, Any]) -> Device:
    """
    Read a `Device`.

    :raises errors.InvalidName: its name is no device id.
    """
    meta = body["metadata"]
    labels = meta.get("labels") or {}
    owners = meta.get("managedFields") or ()
    own = _label_keys(entry for entry in owners if entry.get("manager") == FIELD_MANAGER)
    foreign = _label_managers(entry for entry in owners if entry.get("manager") != FIELD_MANAGER)
    return Device(
        id=DeviceId(meta["name"]),
        uid=meta["uid"],
        labels=labels,
        own_labels={key: labels[key] for key in sorted(own & labels.keys())},
        foreign_labels={key: foreign[key] for key in sorted(foreign.keys() & labels.keys())},
        deleting_since=_time_or_none(meta.get("deletionTimestamp")),
        has_finalizer=FINALIZER in (meta.get("finalizers") or ()),
        created=_time_or_none(meta.get("creationTimestamp")) or BEGINNING,
        status=body.get("status") or {},
        version=int(meta.get("resourceVersion") or 0),
    )


def _owner(meta: Mapping[str, Any]) -> Owner:
    return Owner(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        generation=meta.get("generation", 0),
    )


def _intent(
    spec: Mapping[str, Any], owner: Owner
) -> tuple[Selector, ReconcileScore | None, Refusal | None]:
    try:
        selector = selectors.parse(spec.get("targetSelector") or {})
        return selector, _score(spec.get("score") or {}, owner), None
    except errors.PermanentError as exc:
        return Selector(), None, Refusal(exc.reason, str(exc))


def _score(spec: Mapping[str, Any], owner: Owner) -> ReconcileScore:
    type_, data = str(spec.get("type")), spec.get("data") or {}
    scores.decode(type_, data)
    score = ReconcileScore(
        type=type_, data=data, revision=scores.revision(type_, data), owner=owner
    )
    _check_size(score)
    return score


def _check_size(score: ReconcileScore) -> None:
    """Refuse what could never be published: it would roll out for ever."""
    size = len(DESIRED_STATE.encode(score))
    most = bounds.max_value_bytes(DESIRED_STATE.bucket)
    if size > most:
        raise errors.ValueTooLarge(
            f"the score has {size} bytes as it is sent to devices; at most {most} are allowed"
        )


def _label_managers(entries: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Map the labels to who set them; of several, each is named."""
    managers: dict[str, set[str]] = {}
    for entry in entries:
        for key in _label_keys((entry,)):
            managers.setdefault(key, set()).add(str(entry.get("manager") or "somebody"))
    return {key: " and ".join(sorted(names)) for key, names in managers.items()}


def _label_keys(entries: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    return frozenset(
        key.removeprefix("f:")
        for entry in entries
        for key in entry.get("fieldsV1", {}).get("f:metadata", {}).get("f:labels", {})
        if key.startswith("f:")
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _time_or_none(text: str | None) -> datetime | None:
    return None if text is None else _time(text)
