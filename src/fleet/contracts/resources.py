"""
The custom resources `Deployment` and `Device`.

The types below and `scores.PodmanV0` are the one source of their definitions (`crds`); what
types can't say stands in `rules`. Their docstrings are what `kubectl explain` shows.

No default stands anywhere inside a score. A status has no limits of length: its
only writer cuts what it shows, and a limit would refuse the whole status.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from fleet.contracts import device_labels, scores
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


class Summary(Part, frozen=True):
    """
    What the columns of `kubectl get` show, each cut to 256 characters.

    * deployments: Deployments that run on the device, of those that match it, such as 3/3.
    * labels: The labels of the object, as key=value, separated by commas.
    * last_heard: The word now while the device is heard; else when it was heard last.
    * runtimes: Container runtimes, as name=version, separated by commas.
    * problems: The reasons of the problems, separated by commas.
    """

    deployments: str = ""
    labels: str = ""
    last_heard: str = ""
    runtimes: str = ""
    problems: str = ""


class DeviceStatus(Part, frozen=True):
    """
    What the device reported, and whether it is heard; written by the operator alone.

    * inventory: What the device is made of, as its agent reports it.
    * agent_version: Version of the agent.
    * problems: What keeps the device from working as it should, as its agent reports it; at most
      16.
    * last_heartbeat: When the device was heard last, by the server's clock, as of the last change
      of this status: a heartbeat alone doesn't update it.
    * summary: The same in short, for the columns of kubectl get.
    * conditions: Ready (heard, and its runtime usable), Stale (not heard for 30 seconds),
      DuplicateAgent (two agents use this id), LabelConflict (an administrator's labels win over
      the device's), LabelsRefused (labels that a device may not set).
    """

    inventory: Inventory | None = None
    agent_version: str = ""
    problems: tuple[Problem, ...] = ()
    last_heartbeat: datetime | None = None
    summary: Summary | None = None
    conditions: tuple[Condition, ...] = ()
