"""Fakes of the operator's own ports."""

from collections import Counter as Counts
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from fleet import errors
from fleet.contracts.names import DeviceId
from fleet.contracts.resources import FINALIZER
from fleet.operator.decisions.event_correlator import Key, Post
from fleet.operator.model.custom_resources import FIELD_MANAGER, Deployment
from fleet.operator.ports import Body
from tests.unit.operator.api_server import check_status
from tests.unit.operator.making import START


class FakeCluster:
    """
    `ports.Cluster` in memory, with versions and managed fields as the API server has them.

    While *broken* is set, every call raises it; while *unlistable* is, the lists do; those named
    in *hidden* always do. Conditions of the types *foreign_conditions* are somebody else's.
    Definitions that are *undefined* are being deleted, or gone.
    """

    def __init__(self) -> None:
        self.deployments: dict[str, dict[str, Any]] = {}
        self.devices: dict[str, dict[str, Any]] = {}
        self.events: dict[Key, Post] = {}
        self.word = ""
        self.name = "first"
        self.hidden: set[str] = set()
        self.foreign_conditions: set[str] = set()
        self.undefined: set[str] = set()
        self.writes: Counts[str] = Counts()
        self.broken: errors.FleetError | None = None
        self.unlistable: errors.FleetError | None = None
        # Once, while something of *interrupts* is on its way; empty: whatever it is.
        self.meanwhile: Callable[[], None] | None = None
        self.interrupts = ""
        self.page = 2
        self.between_pages: Callable[[], None] | None = None
        self.lists: Counts[str] = Counts()
        self.reads: Counts[str] = Counts()
        self._version = 100

    def add(self, body: dict[str, Any]) -> dict[str, Any]:
        """Have a `Deployment` made by somebody."""
        self.deployments[body["metadata"]["uid"]] = body
        return body

    async def life(self) -> str:
        """Name this life of the cluster."""
        self._check()
        return self.name

    def list_deployments(self) -> AsyncGenerator[list[Body], None]:
        """List copies."""
        return self._list("deployments", self.deployments.values())

    def list_devices(self) -> AsyncGenerator[list[Body], None]:
        """List copies."""
        return self._list("devices", self.devices.values())

    async def read_deployment(self, deployment: Deployment) -> Body:
        """Read a deployment."""
        self._check()
        self.reads["deployment"] += 1
        if deployment.uid not in self.deployments:
            raise errors.ClusterRefused("404 not found")
        body = dict(self.deployments[deployment.uid])
        self._interrupt("read deployment")
        return body

    async def read_device(self, device: DeviceId) -> Body:
        """Read a device."""
        self._check()
        self.reads["device"] += 1
        if device not in self.devices:
            raise errors.ClusterRefused("404 not found")
        body = dict(self.devices[device])
        self._interrupt("read device")
        return body

    async def is_defined(self, plural: str) -> bool:
        """Tell whether nobody deleted the definition."""
        self._check()
        self._interrupt("definition")
        return plural not in self.undefined

    async def apply_device(self, device: DeviceId, labels: Mapping[str, str]) -> Body:
        """Make or label an object."""
        self._check()
        self.writes["device"] += 1
        found = self.devices.get(device, {"status": {}})
        uid = found["metadata"]["uid"] if "metadata" in found else f"uid {self._next()}"
        self.devices[device] = {
            **found,
            "metadata": {
                "name": str(device),
                "uid": uid,
                "resourceVersion": self._next(),
                "labels": dict(labels),
                "finalizers": [FINALIZER],
                "managedFields": [_managed(labels)],
            },
        }
        return self.devices[device]

    async def apply_device_status(self, device: DeviceId, status: Body) -> Body:
        """Replace a status; refused where the object isn't there. Others' conditions stay."""
        self._check()
        if device not in self.devices:
            raise errors.ClusterRefused("404 not found")
        check_status("Device", status)
        self.writes["device status"] += 1
        body = self.devices[device]
        metadata = {**body["metadata"], "resourceVersion": self._next()}
        before = body.get("status") or {}
        foreign = [c for c in before.get("conditions", ()) if c["type"] in self.foreign_conditions]
        conditions = [*status["conditions"], *foreign]
        merged = {**status, "conditions": conditions}
        self.devices[device] = {**body, "metadata": metadata, "status": merged}
        return self.devices[device]

    async def apply_deployment_status(self, deployment: Deployment, status: Body) -> Body:
        """Replace a status; refused where the resource isn't there."""
        self._check()
        if deployment.uid not in self.deployments:
            raise errors.ClusterRefused("404 not found")
        check_status("Deployment", status)
        self.writes["deployment status"] += 1
        body = self.deployments[deployment.uid]
        metadata = {**body["metadata"], "resourceVersion": self._next()}
        self.deployments[deployment.uid] = {**body, "metadata": metadata, "status": dict(status)}
        return self.deployments[deployment.uid]

    async def post_event(self, post: Post) -> None:
        """Keep an event, in the place of an earlier one of its series."""
        self._check()
        self.writes["event"] += 1
        self._interrupt("event")
        self.events[post.key] = post

    async def word_to_remove_orphans(self) -> str:
        """Read the annotation."""
        self._check()
        return self.word

    def status(self, uid: str = "u1") -> dict[str, Any]:
        """Read a deployment's status."""
        return dict(self.deployments[uid].get("status") or {})

    async def _list(self, listing: str, bodies: Iterable[Body]) -> AsyncGenerator[list[Body], None]:
        """List what was there when the list began; what happens meanwhile, and failures, come."""
        self._check(listing=listing)
        listed = [dict(body) for body in bodies]
        self._interrupt(listing)
        self.lists[listing] += 1
        for start in range(0, max(1, len(listed)), self.page):
            self._check(listing=listing)
            yield [*listed[start : start + self.page]]
            if self.between_pages is not None:
                self.between_pages()

    def _interrupt(self, what: str) -> None:
        if self.interrupts not in {"", what}:
            return
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()

    def _check(self, *, listing: str = "") -> None:
        error = self.broken or (self.unlistable if listing else None)
        if listing in self.hidden:
            error = errors.ClusterUnavailable(f"no {listing}")
        if error is not None:
            raise error

    def _next(self) -> str:
        self._version += 1
        return str(self._version)


class FakeCounter:
    """`ports.Counter` that counts."""

    def __init__(self) -> None:
        self.counts: Counts[str] = Counts()
        self.orphaned = 0
        self.held = 0

    def worked(self, queue: str, seconds: float) -> None:
        """Count."""
        assert seconds >= 0
        self.counts[f"worked {queue}"] += 1

    def failed(self, queue: str, reason: str) -> None:
        """Count."""
        self.counts[f"failed {queue} {reason}"] += 1

    def undecodable(self, bucket: str) -> None:
        """Count."""
        self.counts[f"undecodable {bucket}"] += 1

    def time_replaced(self, bucket: str) -> None:
        """Count."""
        self.counts[f"time replaced {bucket}"] += 1

    def swept(self, bucket: str) -> None:
        """Count."""
        self.counts[f"swept {bucket}"] += 1

    def published(self, action: str) -> None:
        """Count."""
        self.counts[action] += 1

    def wrote(self, what: str) -> None:
        """Count."""
        self.counts[what] += 1

    def event(self, outcome: str) -> None:
        """Count."""
        self.counts[f"event {outcome}"] += 1

    def resynced(self) -> None:
        """Count."""
        self.counts["resync"] += 1

    def contained(self, part: str) -> None:
        """Count."""
        self.counts[f"contained {part}"] += 1

    def stored(self, bucket: str, used: int, limit: int) -> None:
        """Keep."""
        assert limit
        self.counts[f"stored {bucket}"] = used

    def orphans(self, count: int) -> None:
        """Keep."""
        self.orphaned = count

    def orphans_held(self, count: int) -> None:
        """Keep."""
        self.held = count


class FakeClock:
    """A clock that stands still, unless it is set."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        """Tell the start, or what was set."""
        return self.time


def _managed(labels: Mapping[str, str]) -> dict[str, Any]:
    keys: dict[str, Any] = {f"f:{key}": {} for key in labels}
    return {"manager": FIELD_MANAGER, "fieldsV1": {"f:metadata": {"f:labels": keys}}}
