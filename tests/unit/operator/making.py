"""Values that the operator's tests are made of."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fleet.bus.port import Deleted, Put, Undecodable
from fleet.contracts import kv, scores
from fleet.contracts.messages import DeploymentState, DeviceInfo, Owner, Phase, ReconcileScore
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.contracts.resources import FINALIZER
from fleet.operator.model import custom_resources
from fleet.operator.model.aggregation import Report
from fleet.operator.model.custom_resources import Deployment, Device
from fleet.operator.model.matching.index import Pair

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Tell a time after the start."""
    return START + timedelta(seconds=seconds)


def pair(device: str = "d1", deployment: str = "web") -> Pair:
    """Name a key."""
    return Pair(DeviceId(device), DeploymentName(deployment))


def data(image: str = "web:1") -> dict[str, Any]:
    """Write a score of one service."""
    return {"services": [{"name": "web", "image": image}]}


def deployment_body(
    name: str = "web",
    *,
    uid: str = "u1",
    namespace: str = "default",
    labels: dict[str, str] | None = None,
    image: str = "web:1",
    generation: int = 1,
    created: float = 0,
    deleted: float | None = None,
    version: int = 1,
) -> dict[str, Any]:
    """Write a `Deployment` as the API server tells it."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "uid": uid,
        "generation": generation,
        "resourceVersion": str(version),
        "creationTimestamp": at(created).isoformat(),
        "finalizers": [FINALIZER],
    }
    if deleted is not None:
        metadata["deletionTimestamp"] = at(deleted).isoformat()
    selector = {"matchLabels": {"site": "a"} if labels is None else labels}
    return {
        "metadata": metadata,
        "spec": {
            "targetSelector": selector,
            "score": {"type": "PodmanV0", "data": data(image)},
        },
    }


def deployment(name: str = "web", **more: Any) -> Deployment:
    """Make a deployment; see `deployment_body`."""
    return custom_resources.parse_deployment(deployment_body(name, **more))


def device(name: str = "d1", labels: dict[str, str] | None = None, **more: Any) -> Device:
    """Make a device."""
    return Device(
        id=DeviceId(name),
        uid=f"uid-{name}",
        labels={"site": "a"} if labels is None else labels,
        **more,
    )


def info(name: str = "d1", labels: dict[str, str] | None = None, **more: Any) -> DeviceInfo:
    """Make what a device says of itself."""
    return DeviceInfo(device_id=DeviceId(name), labels=labels or {}, **more)


def score(
    image: str = "web:1", *, uid: str = "u1", generation: int = 1, namespace: str = "default"
) -> ReconcileScore:
    """Make a desired value."""
    return ReconcileScore(
        type="PodmanV0",
        data=data(image),
        revision=scores.revision("PodmanV0", data(image)),
        owner=Owner(namespace=namespace, name="web", uid=uid, generation=generation),
    )


def put(value: ReconcileScore, revision: int = 1, key: Pair | None = None) -> Put[ReconcileScore]:
    """Make an entry that holds *value*."""
    return Put(kv.desired_state_key(*(key or pair())), value, revision, START)


def marker(revision: int = 1) -> Deleted:
    """Make an entry that is a delete marker."""
    return Deleted(kv.desired_state_key(*pair()), revision, START)


def garbage(revision: int = 1) -> Undecodable:
    """Make an entry that doesn't decode."""
    return Undecodable(kv.desired_state_key(*pair()), revision, START, "not JSON")


def report(
    phase: Phase = Phase.RUNNING,
    *,
    image: str = "web:1",
    key: Pair | None = None,
    heard: datetime = START,
    **more: Any,
) -> Report:
    """Make what a device told of its deployment of *image*; the server *heard* of it then."""
    device_id, name = key or pair()
    revision = scores.revision("PodmanV0", data(image))
    state = DeploymentState(
        device_id=device_id, deployment=name, phase=phase, revision=revision, **more
    )
    return Report.of(state, heard)
