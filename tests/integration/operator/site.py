"""What a test of the operator acts on, and named waits for what comes of it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import uuid4

import aiohttp

from fleet.bus.nats import NatsBus
from tests.kube_client import FLEET, KubeClient
from tests.operator_process import OperatorProcess
from tests.simulated_device import SimulatedDevice

T = TypeVar("T")
EVERY_SECONDS = 0.05


async def eventually(
    look: Callable[[], Awaitable[T | None]], what: str, *, within: float = 15.0
) -> T:
    """Wait until *look* finds something true, and return that."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while True:
        found = await look()
        if found:
            return found
        if loop.time() > end:
            raise AssertionError(f"not within {within} s: {what}; last seen: {found!r}")
        await asyncio.sleep(EVERY_SECONDS)


@dataclass
class Site:
    """What a test acts on: names of its own on shared parts."""

    kube: KubeClient
    bus: NatsBus
    operator: OperatorProcess
    site: str = field(default_factory=lambda: f"s{uuid4().hex[:8]}")

    def device(self, number: int = 1) -> SimulatedDevice:
        """Make a device of this site."""
        return SimulatedDevice(self.bus, f"{self.site}-{number}")

    async def registered(self, number: int = 1, **labels: str) -> SimulatedDevice:
        """Make a device of this site and wait for its object."""
        device = self.device(number)
        await device.register({"site": self.site, **labels})
        await eventually(lambda: self.object(device), f"{device.id} is registered")
        return device

    def path(self, name: str, namespace: str = "default") -> str:
        """Build the path of a deployment."""
        return f"{FLEET}/namespaces/{namespace}/deployments/{name}"

    async def deploy(
        self,
        name: str,
        *,
        namespace: str = "default",
        image: str = "web:1",
        labels: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Apply a deployment for the devices of this site, or those with *labels*."""
        body = manifest(name, labels or {"site": self.site}, image=image, namespace=namespace)
        return await self.kube.apply(self.path(name, namespace), body)

    async def object(self, device: SimulatedDevice) -> dict[str, Any] | None:
        """Read a `Device`."""
        return await self.kube.find(f"{FLEET}/devices/{device.id}")

    async def status(self, name: str, namespace: str = "default") -> dict[str, Any]:
        """Read a deployment's status."""
        body = await self.kube.find(self.path(name, namespace)) or {}
        return dict(body.get("status") or {})

    async def until_ready(
        self, name: str, ready: str, namespace: str = "default"
    ) -> dict[str, Any]:
        """Wait until so many run, and return the status."""

        async def look() -> dict[str, Any] | None:
            status = await self.status(name, namespace)
            return status if status.get("ready") == ready else None

        return await eventually(look, f"{name} is {ready}")

    async def page(self, path: str) -> tuple[int, str]:
        """Read one of the operator's pages."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{self.operator.address}{path}") as answer,
        ):
            return answer.status, await answer.text()

    async def until_operator_ready(self) -> None:
        """Wait for the operator's own word."""

        async def look() -> bool:
            try:
                return (await self.page("/readyz"))[0] == 200
            except aiohttp.ClientError:
                return False

        await eventually(look, "the operator is ready", within=30)


def manifest(
    name: str, labels: dict[str, str], *, image: str = "web:1", namespace: str = "default"
) -> dict[str, Any]:
    """Write a deployment of one service."""
    service = {"name": "web", "image": image}
    return {
        "apiVersion": "fleet.nationtech.io/v1alpha1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "targetSelector": {"matchLabels": labels},
            "score": {"type": "PodmanV0", "data": {"services": [service]}},
        },
    }
