"""What a test of the operator acts on, and named waits for what comes of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp

from fleet.bus.nats import NatsBus
from fleet.bus.port import Deleted, Put
from fleet.contracts import kv
from fleet.contracts.names import DeploymentName
from lab.bench.simulated_device import SimulatedDevice
from lab.services.cluster.client import FLEET, KubeClient
from tests.operator_process import OperatorProcess, metric
from tests.waiting import eventually

Body = dict[str, Any]


@dataclass
class Site:
    """What a test acts on: names of its own on shared parts."""

    kube: KubeClient
    bus: NatsBus
    operator: OperatorProcess
    site: str = field(default_factory=lambda: f"s{uuid4().hex[:8]}")

    def name(self, name: str) -> str:
        """Name a deployment of this site."""
        return f"{self.site}-{name}"

    def path(self, name: str, namespace: str = "default") -> str:
        """Build the path of a deployment."""
        return f"{FLEET}/namespaces/{namespace}/deployments/{self.name(name)}"

    def device(self, number: int = 1) -> SimulatedDevice:
        """Make a device of this site."""
        return SimulatedDevice(self.bus, f"{self.site}-{number}")

    async def registered(self, number: int = 1, **labels: str) -> SimulatedDevice:
        """Make a device of this site and wait for its object."""
        device = self.device(number)
        await device.register({"site": self.site, **labels})
        await eventually(lambda: self.device_object(device), f"{device.id} is registered")
        return device

    async def namespace(self, name: str) -> None:
        """Make a namespace."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await self.kube.create("/api/v1/namespaces", body)

    async def deploy(
        self,
        name: str,
        *,
        namespace: str = "default",
        image: str = "web:1",
        labels: dict[str, str] | None = None,
    ) -> Body:
        """Apply a deployment for the devices of this site, or those with *labels*."""
        body = manifest(self.name(name), labels or {"site": self.site}, image, namespace)
        return await self.kube.apply(self.path(name, namespace), body)

    async def release_by_hand(self, name: str) -> None:
        """Delete a deployment while the operator isn't there to see it."""
        await self.kube.delete(self.path(name))
        await self.kube.patch(self.path(name), {"metadata": {"finalizers": None}})
        await until_gone(self.kube, self.path(name))

    async def with_finalizer(self, name: str) -> Body | None:
        """Read a deployment once the operator has put its finalizer on it."""
        body = await self.kube.find(self.path(name))
        return body if body and body["metadata"].get("finalizers") else None

    async def device_object(self, device: SimulatedDevice) -> Body | None:
        """Read a `Device`."""
        return await self.kube.find(f"{FLEET}/devices/{device.id}")

    async def device_where(
        self, device: SimulatedDevice, claim: Callable[[Body], object]
    ) -> Body | None:
        """Read a `Device`, if it has a status and *claim* holds."""
        body = await self.device_object(device)
        return body if body and "status" in body and claim(body) else None

    async def status_where(
        self, name: str, claim: Callable[[Body], object], namespace: str = "default"
    ) -> Body | None:
        """Read a deployment's status, if it has one and *claim* holds."""
        body = await self.kube.find(self.path(name, namespace)) or {}
        status = body.get("status")
        return status if status and claim(status) else None

    async def until_ready(self, name: str, ready: str, namespace: str = "default") -> Body:
        """Wait until so many run, and return the status."""
        return await eventually(
            lambda: self.status_where(name, lambda s: s["ready"] == ready, namespace),
            f"{name} is {ready}",
        )

    async def has_event(self, reason: str, namespace: str = "default", *, saying: str = "") -> bool:
        """Tell whether an Event of that reason was posted."""
        events = await self.kube.items(f"/api/v1/namespaces/{namespace}/events")
        return any(e["reason"] == reason and saying in e["message"] for e in events)

    async def event_about(self, uid: str, reason: str, namespace: str = "default") -> Body | None:
        """Read the Event of that reason about an object, as ``kubectl describe`` finds it."""
        selector = f"involvedObject.uid={uid},reason={reason}"
        path = f"/api/v1/namespaces/{namespace}/events?fieldSelector={selector}"
        found = await self.kube.items(path)
        assert len(found) <= 1, "one series, one object"
        return found[0] if found else None

    async def page(self, path: str) -> tuple[int, str]:
        """Read one of the operator's pages."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{self.operator.address}{path}") as answer,
        ):
            return answer.status, await answer.text()

    async def metric(self, name: str, **labels: str) -> float:
        """Read one of the operator's metrics."""
        return metric((await self.page("/metrics"))[1], name, **labels)

    async def resyncs(self, count: int = 3) -> None:
        """Wait until everything was listed and looked at so many more times."""
        before = await self.metric("fleet_resyncs_total")

        async def more() -> bool:
            return await self.metric("fleet_resyncs_total") >= before + count

        await eventually(more, f"{count} resyncs", within=60)

    async def until_operator_ready(self) -> None:
        """Wait for the operator's own word."""

        async def look() -> bool:
            try:
                return (await self.page("/readyz"))[0] == 200
            except aiohttp.ClientError:
                return False

        await eventually(look, "the operator is ready", within=30)


def condition(status: Body, type_: str) -> Body:
    """Find one condition of a status."""
    return next((c for c in status.get("conditions", ()) if c["type"] == type_), {})


async def until_gone(kube: KubeClient, path: str) -> None:
    """Wait until an object is gone."""

    async def look() -> bool:
        return await kube.find(path) is None

    await eventually(look, f"{path} is gone")


def manifest(name: str, labels: dict[str, str], image: str, namespace: str) -> Body:
    """Write a deployment of one service."""
    return {
        "apiVersion": "fleet.nationtech.io/v1alpha1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "targetSelector": {"matchLabels": labels},
            "score": {"type": "PodmanV0", "data": {"services": [{"name": "web", "image": image}]}},
        },
    }


async def is_marked(device: SimulatedDevice, name: str) -> bool:
    """Tell whether a delete marker stands at the device's key."""
    key = kv.desired_state_key(device.id, DeploymentName(name))
    return isinstance(await device.desired.get(key), Deleted)


async def is_purged(device: SimulatedDevice, name: str) -> bool:
    """Tell whether the device's key is gone without a trace."""
    return await device.desired.get(kv.desired_state_key(device.id, DeploymentName(name))) is None


async def owner_uid(device: SimulatedDevice, name: str) -> str:
    """Read whose value stands at the device's key."""
    entry = await device.desired.get(kv.desired_state_key(device.id, DeploymentName(name)))
    if not isinstance(entry, Put) or entry.value.owner is None:
        return ""
    return entry.value.owner.uid
