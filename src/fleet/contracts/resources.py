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

from fleet.contracts import rules, scores
from fleet.contracts.openapi import Schema, schema

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

_METADATA = "Standard metadata. The name is at most 63 characters of a-z, 0-9 and '-'."
_HEADER = "# Made by `invoke crds` from fleet.contracts.resources; changes by hand are lost.\n"

LabelKey = Annotated[str, Meta(min_length=1, max_length=317)]
LabelValue = Annotated[
    str, Meta(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")
]


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of what custom resources are made of."""


class SelectorOperator(StrEnum):
    """How a requirement looks at a label."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class Requirement(Part, frozen=True):
    """
    One requirement on a device's labels.

    * key: Key of the label, at most 317 characters.
    * operator: How the label is compared: In or NotIn (its value is, or isn't, one of values;
      NotIn also matches a device without the label), Exists or DoesNotExist (whatever its value).
    * values: Values to compare with: 1 to 64 for In and NotIn, none for Exists and DoesNotExist.
    """

    key: LabelKey
    operator: SelectorOperator
    values: Annotated[tuple[LabelValue, ...], Meta(max_length=64)] = ()


class TargetSelector(Part, frozen=True):
    """
    The devices that are meant: all of it must hold. Empty, it matches nothing.

    * match_labels: Labels that a device must have, by key; at most 32.
    * match_expressions: Requirements that a device's labels must meet; at most 32.
    """

    match_labels: Annotated[dict[LabelKey, LabelValue], Meta(max_length=32)] = {}
    match_expressions: Annotated[tuple[Requirement, ...], Meta(max_length=32)] = ()


class ScoreType(StrEnum):
    """The scores that there are."""

    PODMAN_V0 = "PodmanV0"


class Score(Part, frozen=True):
    """
    What each device shall run.

    * type: Kind of the score, which decides what data holds: PodmanV0 (containers run by podman).
    * data: What to run, as the type defines it.
    """

    type: ScoreType
    data: scores.PodmanV0


class DeploymentSpec(Part, frozen=True):
    """
    What is wanted, and where.

    * target_selector: The devices to run it on, by their labels. An empty selector matches no
      device.
    * score: What each of these devices shall run.
    """

    target_selector: TargetSelector
    score: Score


class Condition(Part, frozen=True):
    """
    One aspect of the state, as Kubernetes' tools wait for it.

    * type: Name of the aspect; there is one condition of each type.
    * status: Whether it holds: True, False or Unknown.
    * last_transition_time: When status changed last.
    * reason: Why, as one CamelCase word for programs.
    * message: Why, as a sentence for people; may be empty.
    * observed_generation: The metadata.generation that the condition was computed from, if its
      writer tells it.
    """

    type: str
    status: str
    last_transition_time: datetime
    reason: str = ""
    message: str = ""
    observed_generation: int = 0


class LastError(Part, frozen=True):
    """
    The failure that was heard of last.

    * device_id: The device that reported it.
    * reason: What failed, as one CamelCase word, such as ImageNotFound.
    * message: What failed, as a sentence, cut to 1024 characters.
    * at: When the report arrived, by the server's clock.
    """

    device_id: str
    reason: str
    message: str = ""
    at: datetime | None = None


class Aggregate(Part, frozen=True):
    """
    How the matched devices fare: matched = pending + running + failed + unknown.

    * matched: Number of devices that the selector matches.
    * pending: Number of devices that haven't reported the wanted revision yet.
    * running: Number of devices that run the wanted revision.
    * failed: Number of devices that report the wanted revision as failed.
    * unknown: Number of devices that aren't heard, whatever they reported before.
    * last_error: The failure that arrived last, of a device that is failed still.
    * failing: Ids of failed devices: the first 10 in alphabetical order.
    """

    matched: int = 0
    pending: int = 0
    running: int = 0
    failed: int = 0
    unknown: int = 0
    last_error: LastError | None = None
    failing: Annotated[tuple[str, ...], Meta(max_length=10)] = ()


class DeploymentStatus(Part, frozen=True):
    """
    How it goes, as the operator sees it; written by the operator alone.

    * observed_generation: The metadata.generation that this status was computed from.
    * ready: Running devices of matched ones, such as 18/20.
    * reason: The one word for what keeps the deployment from being available; empty if nothing
      does.
    * aggregate: Counts over the matched devices.
    * conditions: Accepted (the spec can be used), Progressing (some device hasn't got what is
      wanted yet), Available (every matched device runs it), Degraded (some device failed, or is
      silent).
    """

    observed_generation: int = 0
    ready: str = ""
    reason: str = ""
    aggregate: Aggregate | None = None
    conditions: tuple[Condition, ...] = ()


class Inventory(Part, frozen=True):
    """
    What a device is made of.

    * hostname: Host name of the device.
    * arch: Architecture of its processor, as the kernel calls it, such as aarch64 or x86_64.
    * os: Operating system and its version.
    * kernel: Version of the kernel.
    * cpus: Number of CPUs.
    * memory_bytes: Size of the memory, in bytes.
    * disk_bytes: Size of the file system that holds the agent's state, in bytes.
    * runtimes: Container runtimes by name, with their versions.
    """

    hostname: str = ""
    arch: str = ""
    os: str = ""
    kernel: str = ""
    cpus: int = 0
    memory_bytes: int = 0
    disk_bytes: int = 0
    runtimes: dict[str, str] = {}


class Problem(Part, frozen=True):
    """
    Something that keeps a runtime from working, or that the agent wants known.

    * reason: What it is, as one CamelCase word.
    * message: What it is, as a sentence, cut to 1024 characters.
    """

    reason: str
    message: str = ""


class DeviceStatus(Part, frozen=True):
    """
    What the device reported, and whether it is heard; written by the operator alone.

    * inventory: What the device is made of, as its agent reports it.
    * agent_version: Version of the agent.
    * problems: What keeps the device from working as it should, as its agent reports it; at most
      16.
    * last_heartbeat: When the device was heard last, by the server's clock, as of the last change
      of this status: a heartbeat alone doesn't update it.
    * conditions: Ready (heard, and its runtime usable), Stale (not heard for 30 seconds),
      DuplicateAgent (two agents use this id), LabelConflict (an administrator's labels win over
      the device's), LabelsRefused (labels that a device may not set).
    """

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
    root = _root(DEPLOYMENT_KIND, "What a part of the fleet shall run.", DeploymentStatus)
    root["properties"]["spec"] = schema(DeploymentSpec)
    root["required"] = ["spec"]
    _add_rules(root, rules.DEPLOYMENT)
    names = _names(DEPLOYMENT_KIND, DEPLOYMENT_PLURAL, DEPLOYMENT_SHORT_NAME)
    return _crd(names, "Namespaced", root, _DEPLOYMENT_COLUMNS)


def _devices() -> dict[str, Any]:
    root = _root(DEVICE_KIND, "A device of the fleet; it describes itself.", DeviceStatus)
    _add_rules(root, rules.DEVICE)
    names = _names(DEVICE_KIND, DEVICE_PLURAL, DEVICE_SHORT_NAME)
    return _crd(names, "Cluster", root, _DEVICE_COLUMNS)


def _root(kind: str, description: str, status: type[Part]) -> Schema:
    root: Schema = {
        "type": "object",
        "description": description,
        "properties": {
            "apiVersion": {"type": "string", "description": f"Always {API_VERSION}."},
            "kind": {"type": "string", "description": f"Always {kind}."},
            "metadata": {"type": "object", "description": _METADATA},
            "status": schema(status),
        },
    }
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
