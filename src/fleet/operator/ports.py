"""What the operator needs of a Kubernetes cluster, and of somebody who counts."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fleet.contracts.names import DeviceId
from fleet.operator.decisions.event_correlator import Post
from fleet.operator.model.custom_resources import Deployment

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach the API server, and as whom."""

    server: str
    ca_file: str | None = None
    verify: bool = True
    token: str | None = field(default=None, repr=False)
    certificate_file: str | None = None
    key_file: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Which devices, and deployments by uid, are there: the store knows them as they are now."""

    devices: frozenset[DeviceId] = field(default_factory=frozenset)
    deployments: frozenset[str] = field(default_factory=frozenset)


class Cluster(Protocol):
    """
    The custom resources, as plain JSON.

    Every method raises `errors.ClusterUnavailable` when the API server doesn't
    answer, and `errors.ClusterRefused` when it refuses for good.
    """

    async def life(self) -> str:
        """Name the cluster's life: one that lost its store, and was made anew, has another."""

    def list_deployments(self) -> AsyncGenerator[list[Body], None]:
        """List every `Deployment`, page by page; what raised is no list."""

    def list_devices(self) -> AsyncGenerator[list[Body], None]:
        """List every `Device`, page by page; what raised is no list."""

    async def read_deployment(self, deployment: Deployment) -> Body:
        """Read one `Deployment` as it is now; refused when it isn't there."""

    async def read_device(self, device: DeviceId) -> Body:
        """Read one `Device` as it is now; refused when it isn't there."""

    async def is_defined(self, plural: str) -> bool:
        """Tell whether the definition of a resource stands: it is neither gone nor going."""

    async def apply_device(self, device: DeviceId, labels: Mapping[str, str]) -> Body:
        """Make the object if it isn't there, with the finalizer and exactly these own *labels*."""

    async def apply_device_status(self, device: DeviceId, status: Body) -> Body:
        """Write a whole status."""

    async def apply_deployment_status(self, deployment: Deployment, status: Body) -> Body:
        """Write a whole status; refused when the resource was made again meanwhile."""

    async def post_event(self, post: Post) -> None:
        """Post an Event where `kubectl describe` shows it: one object for each series."""

    async def word_to_remove_orphans(self) -> str:
        """Read which set of orphans an administrator allows to remove; empty when none."""


class Counter(Protocol):
    """Somebody who counts what happens."""

    def worked(self, queue: str, seconds: float) -> None: ...
    def failed(self, queue: str, reason: str) -> None: ...
    def undecodable(self, bucket: str) -> None: ...
    def time_replaced(self, bucket: str) -> None: ...
    def swept(self, bucket: str) -> None: ...
    def published(self, action: str) -> None: ...
    def wrote(self, what: str) -> None: ...
    def event(self, outcome: str) -> None: ...
    def resynced(self) -> None: ...
    def contained(self, part: str) -> None: ...
    def stored(self, bucket: str, used: int, limit: int) -> None: ...
    def orphans(self, count: int) -> None: ...
    def orphans_held(self, count: int) -> None: ...
