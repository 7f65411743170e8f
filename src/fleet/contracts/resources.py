"""
The custom resources `Deployment` and `Device`, and the YAML that defines them.

The types below and `scores.PodmanV0` are the one source; what types can't say
stands in `rules` and in the tables of columns and lists. ``deploy/crds`` holds what
`manifests` renders, and a test compares them.

No default stands anywhere inside a score. A status has no limits of length: its
only writer cuts what it shows, and a limit would refuse the whole status.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import yaml
from msgspec import Meta

from fleet.contracts import device_labels, rules, scores
from fleet.contracts.openapi import Schema, schema
from fleet.contracts.patterns import whole

GROUP = "fleet.nationtech.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FINALIZER = f"{GROUP}/finalizer"
NAMESPACE = "fleet-system"
# On the namespace: an administrator's word to remove the orphans that it names.
REMOVE_ORPHANS = f"{GROUP}/remove-orphans"
DEPLOYMENT_KIND = "Deployment"
DEPLOYMENT_PLURAL = "deployments"
DEPLOYMENT_SHORT_NAME = "fleetdep"
DEVICE_KIND = "Device"
DEVICE_PLURAL = "devices"
DEVICE_SHORT_NAME = "fleetdev"

_HEADER = "# Made by `invoke crds` from fleet.contracts.resources; changes by hand are lost.\n"

LabelKey = Annotated[
    str, Meta(min_length=1, max_length=317, pattern=whole(device_labels.KEY.pattern))
]
LabelValue = Annotated[str, Meta(max_length=63, pattern=whole(device_labels.VALUE.pattern))]


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of what custom resources are made of."""


class SelectorOperator(StrEnum):
    """How a requirement looks at a label."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class Requirement(Part, frozen=True):
    """One requirement on a device's labels."""

    key: LabelKey
    operator: SelectorOperator
    values: Annotated[tuple[LabelValue, ...], Meta(max_length=64)] = ()


class TargetSelector(Part, frozen=True):
    """The devices that are meant: all of it must hold. Empty, it matches nothing."""

    match_labels: Annotated[dict[LabelKey, LabelValue], Meta(max_length=32)] = {}
    match_expressions: Annotated[tuple[Requirement, ...], Meta(max_length=32)] = ()


class ScoreType(StrEnum):
    """The scores that there are."""

    PODMAN_V0 = "PodmanV0"


class Score(Part, frozen=True):
    """What each device shall run."""

    type: ScoreType
    data: scores.PodmanV0


class DeploymentSpec(Part, frozen=True):
    """What is wanted, and where."""

    target_selector: TargetSelector
    score: Score


class Condition(Part, frozen=True):
    """One aspect of the state, as Kubernetes' tools wait for it."""

    type: str
    status: str
    last_transition_time: datetime
    reason: str = ""
    message: str = ""
    observed_generation: int = 0


class LastError(Part, frozen=True):
    """The failure that was heard of last."""

    device_id: str
    reason: str
    message: str = ""
    at: datetime | None = None


class Aggregate(Part, frozen=True):
    """How the matched devices fare: matched = pending + running + failed + unknown."""

    matched: int = 0
    pending: int = 0
    running: int = 0
    failed: int = 0
    unknown: int = 0
    last_error: LastError | None = None
    failing: Annotated[tuple[str, ...], Meta(max_length=10)] = ()


class DeploymentStatus(Part, frozen=True):
    """How it goes. ready is running/matched; reason the one word for what keeps it from ready."""

    observed_generation: int = 0
    ready: str = ""
    reason: str = ""
    aggregate: Aggregate | None = None
    conditions: tuple[Condition, ...] = ()


class Inventory(Part, frozen=True):
    """What a device is made of; sizes in bytes, runtimes by name with their versions."""

    hostname: str = ""
    arch: str = ""
    os: str = ""
    kernel: str = ""
    cpus: int = 0
    memory_bytes: int = 0
    disk_bytes: int = 0
    runtimes: dict[str, str] = {}


class Problem(Part, frozen=True):
    """Something that keeps a runtime from working."""

    reason: str
    message: str = ""


class DeviceStatus(Part, frozen=True):
    """What the device told, and how it is heard."""

    inventory: Inventory | None = None
    agent_version: str = ""
    problems: tuple[Problem, ...] = ()
    last_heartbeat: datetime | None = None
    conditions: tuple[Condition, ...] = ()


# Merged by name when several parties apply parts of them.
_LISTS = {("status", "conditions"): "type"}


def _column(name: str, path: str, type_: str = "string", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type_, "jsonPath": path, **more}


_AGE = _column("AGE", ".metadata.creationTimestamp", "date")
_DEPLOYMENT_COLUMNS = (
    _column("READY", ".status.ready"),
    _column("FAILED", ".status.aggregate.failed", "integer"),
    _column("REASON", ".status.reason"),
    _AGE,
)
_DEVICE_COLUMNS = (
    _column("READY", '.status.conditions[?(@.type=="Ready")].status'),
    _column("ARCH", ".status.inventory.arch"),
    _column("LABELS", ".metadata.labels"),
    _AGE,
)


def crds() -> tuple[dict[str, Any], ...]:
    """Build the definitions of both resources, as the API server takes them."""
    return (_deployments(), _devices())


def manifests() -> dict[str, str]:
    """Render the definitions to YAML, by file name."""
    return {f"{crd['spec']['names']['plural']}.yaml": _HEADER + _yaml(crd) for crd in crds()}


def _deployments() -> dict[str, Any]:
    root = _root("What a part of the fleet shall run.", DeploymentStatus, spec=DeploymentSpec)
    _add_rules(root, rules.DEPLOYMENT)
    names = _names(DEPLOYMENT_KIND, DEPLOYMENT_PLURAL, DEPLOYMENT_SHORT_NAME)
    return _crd(names, "Namespaced", root, _DEPLOYMENT_COLUMNS)


def _devices() -> dict[str, Any]:
    root = _root("A device of the fleet; it describes itself.", DeviceStatus)
    _add_rules(root, rules.DEVICE)
    names = _names(DEVICE_KIND, DEVICE_PLURAL, DEVICE_SHORT_NAME)
    return _crd(names, "Cluster", root, _DEVICE_COLUMNS)


def _root(description: str, status: type[Part], spec: type[Part] | None = None) -> Schema:
    root: Schema = {
        "type": "object",
        "description": description,
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "status": schema(status),
        },
    }
    if spec is not None:
        root["properties"]["spec"] = schema(spec)
        root["required"] = ["spec"]
    for path, key in _LISTS.items():
        _at(root, path).update(
            {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
        )
    return root


def _add_rules(root: Schema, added: rules.Rules) -> None:
    for path, each in added.items():
        _at(root, path)["x-kubernetes-validations"] = [
            {"rule": rule, "message": message} for rule, message in each
        ]


def _at(root: Schema, path: tuple[str, ...]) -> Schema:
    found = root
    for step in path:
        found = found["items"] if step == "[]" else found["properties"][step]
    return found


def _names(kind: str, plural: str, short_name: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
        "shortNames": [short_name],
    }


def _crd(
    names: dict[str, Any], scope: str, root: Schema, columns: tuple[dict[str, Any], ...]
) -> dict[str, Any]:
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": root},
        "subresources": {"status": {}},
        "additionalPrinterColumns": list(columns),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.{GROUP}"},
        "spec": {"group": GROUP, "scope": scope, "names": names, "versions": [version]},
    }


def _yaml(manifest: dict[str, Any]) -> str:
    return yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes the same list twice rather than pointing from one to the other."""

    def ignore_aliases(self, _: Any) -> bool:
        return True
