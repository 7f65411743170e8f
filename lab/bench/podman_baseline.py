"""
The baseline: the same containers, created and started straight through podman's API.

No agent, no bus, no operator: whoever runs containers on these devices waits at least this long.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp

from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman.api.specification import specification
from fleet.contracts import containers, scores
from fleet.contracts.names import DeploymentName, DeviceId
from lab.bench.deployments import SERVICE
from lab.system import podman_configuration

_API = "http://podman/v4.0.0/libpod"
_WORKERS = 20
_LOOK_SECONDS = 0.01
_DEPLOYMENT = "bench-bare"


@dataclass(frozen=True, slots=True)
class Podman:
    """One device's podman."""

    device: DeviceId
    session: aiohttp.ClientSession

    async def run(self, workload: Workload) -> None:
        """Create a container and its network, start it, and wait until inspect has it running."""
        limits = podman_configuration.engine_here().limits
        body = specification(
            workload, self.device, ulimits=limits.as_dict() if limits else {}, stop_timeout=0
        )
        (network,) = body["Networks"]
        network_body = {"name": network, "driver": "bridge", "dns_enabled": True}
        await self._ask("POST", "/networks/create", json.dumps(network_body))
        await self._ask("POST", "/containers/create", json.dumps(body))
        await self._ask("POST", f"/containers/{workload.name}/start")
        while not (await self.inspect(workload.name))["State"]["Running"]:  # noqa: ASYNC110 - elsewhere
            await asyncio.sleep(_LOOK_SECONDS)

    async def inspect(self, container: str) -> dict[str, Any]:
        """Read what podman knows of *container*."""
        return dict(json.loads(await self._ask("GET", f"/containers/{container}/json")))

    async def remove(self, workload: Workload) -> None:
        """Remove the container, whatever it does, and its network."""
        await self._ask("DELETE", f"/containers/{workload.name}?force=true&timeout=0")
        await self._ask("DELETE", f"/networks/{containers.network_name(workload.deployment)}")

    async def _ask(self, method: str, path: str, body: str | None = None) -> bytes:
        headers = {"Content-Type": "application/json"}
        url = f"{_API}{path}"
        async with self.session.request(method, url, data=body, headers=headers) as answer:
            content = await answer.read()
            if answer.status >= HTTPStatus.BAD_REQUEST:
                raise RuntimeError(f"podman on {self.device}: {method} {path}: {content!r}")
            return content


@contextlib.asynccontextmanager
async def reaching(devices: Iterable[tuple[DeviceId, Path]]) -> AsyncIterator[tuple[Podman, ...]]:
    """Reach the podman of each device at its socket, until the block ends."""
    async with contextlib.AsyncExitStack() as stack:
        yield tuple(
            [
                Podman(device, await stack.enter_async_context(_session(socket)))
                for device, socket in devices
            ]
        )


async def run_all(podmans: Sequence[Podman], image: str, each: int) -> float:
    """Run *each* containers on every device, and return how long it took; they are gone then."""
    slots = asyncio.Semaphore(_WORKERS)
    wanted = [(podman, _workload(n, image)) for podman in podmans for n in range(each)]

    async def run(podman: Podman, workload: Workload) -> None:
        async with slots:
            await podman.run(workload)

    async def remove(podman: Podman, workload: Workload) -> None:
        async with slots:
            await podman.remove(workload)

    begun = time.perf_counter()
    try:
        await asyncio.gather(*(run(*one) for one in wanted))
        return time.perf_counter() - begun
    finally:
        await asyncio.gather(*(remove(*one) for one in wanted), return_exceptions=True)


def _session(socket: Path) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket)))


def _workload(number: int, image: str) -> Workload:
    service = scores.Service(name=SERVICE, image=image)
    return Workload(DeploymentName(f"{_DEPLOYMENT}-{number}"), service, "bare")
