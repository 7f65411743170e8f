"""The deployments of a benchmark: applied, watched until their status is right, and deleted."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from lab.services.cluster.client import FLEET, KubeClient

NAMESPACE = "fleet-demo"
SERVICE = "app"
_COLLECTION = f"{FLEET}/namespaces/{NAMESPACE}/deployments"

Manifest = dict[str, Any]


def manifest(name: str, image: str, labels: dict[str, str], services: int = 1) -> Manifest:
    """Describe a deployment of so many *services*."""
    return {
        "apiVersion": "fleet.nationtech.io/v1alpha1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "targetSelector": {"matchLabels": labels},
            "score": score(image, services),
        },
    }


def score(image: str, services: int = 1) -> dict[str, Any]:
    """Describe the score of such a deployment."""
    listed = [{"name": name, "image": image} for name in service_names(services)]
    return {"type": "PodmanV0", "data": {"services": listed}}


def service_names(services: int) -> list[str]:
    """Name the services of such a deployment."""
    return [SERVICE, *(f"{SERVICE}-{number}" for number in range(1, services))]


class Board:
    """The deployments as the API server shows them, kept by a watch."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube
        self._found: dict[str, dict[str, Any]] = {}
        self._changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator["Board"]:
        """Keep it until the block ends."""
        task = asyncio.create_task(self._watch())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def apply(self, manifests: Iterable[Manifest]) -> None:
        """Apply all at once."""
        applied = (self._kube.apply(_path(m["metadata"]["name"]), m) for m in manifests)
        for body in await asyncio.gather(*applied):
            self._take(body)

    async def delete(self, names: Sequence[str]) -> None:
        """Delete them, and wait until they are gone."""
        await asyncio.gather(*(self._kube.delete(_path(name)) for name in names))
        while any(name in self._found for name in names):
            await self._next()

    async def right(self, names: Sequence[str], *, running: int, failed: int = 0) -> None:
        """Wait until the status of each speaks of its newest spec, and counts so."""
        while not all(_is_right(self._found[name], running, failed) for name in names):
            await self._next()

    async def _next(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _watch(self) -> None:
        async for event in self._kube.watch(_COLLECTION):
            if event["type"] == "DELETED":
                self._found.pop(event["object"]["metadata"]["name"], None)
            else:
                self._take(event["object"])
            self._changed.set()

    def _take(self, body: dict[str, Any]) -> None:
        """Keep the newest: an answer may come before or after the watch's word."""
        name = body["metadata"]["name"]
        known = self._found.get(name)
        if known is None or _version(known) < _version(body):
            self._found[name] = body


def _path(name: str) -> str:
    return f"{_COLLECTION}/{name}"


def _version(body: dict[str, Any]) -> int:
    return int(body["metadata"]["resourceVersion"])


def _is_right(body: dict[str, Any], running: int, failed: int) -> bool:
    status = body.get("status") or {}
    aggregate = status.get("aggregate") or {}
    return (
        status.get("observedGeneration") == body["metadata"]["generation"]
        and aggregate.get("matched") == running + failed
        and aggregate.get("running") == running
        and aggregate.get("failed") == failed
    )
