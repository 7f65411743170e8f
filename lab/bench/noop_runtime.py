"""
A container runtime that does nothing, at once: what is left is the agent's own time.

It is a `Runtime` as the port describes it, with containers that exist in memory only. The bench is
told of each image that is asked for: an agent asks for it as soon as it has read what is wanted.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.port import Container, Image, Result, Status
from fleet.contracts import scores
from fleet.contracts.names import DeploymentName, DeviceId


class NoopRuntime:
    """One device's containers. *asked* hears of each image, once per deployment and service."""

    name = "idle"

    def __init__(self, asked: Callable[[str], None]) -> None:
        self._asked = asked
        self._found: dict[str, Container] = {}
        self._images: set[str] = set()

    def vouch(self, former: frozenset[DeviceId]) -> None:
        """See `Runtime`."""

    async def version(self) -> str:
        """See `Runtime`."""
        return "0"

    async def observe(self, deployment: DeploymentName | None = None) -> tuple[Container, ...]:
        """See `Runtime`."""
        found = self._found.values()
        return tuple(c for c in found if deployment in (None, c.deployment))

    async def fetch(self, image: str, policy: scores.PullPolicy) -> None:
        """See `Runtime`."""
        del policy
        self._images.add(image)
        self._asked(image)

    def transfer(self, image: str) -> None:
        """See `Runtime`."""

    async def images(self) -> tuple[Image, ...]:
        """See `Runtime`."""
        return ()

    async def image_id(self, reference: str) -> str:
        """See `Runtime`. An image is there once it was asked for."""
        return reference if reference in self._images else ""

    async def remove_image(self, image: Image) -> None:
        """See `Runtime`."""

    async def check(self, workload: Workload) -> None:
        """See `Runtime`."""

    async def create(self, workload: Workload) -> None:
        """See `Runtime`."""
        service = workload.service
        self._found[workload.name] = Container(
            workload.deployment,
            service.name,
            workload.digest,
            workload.name,
            Status.CREATED,
            service.restart_policy,
            image=f"sha256:{service.image}",
        )

    async def start(self, container: str) -> None:
        """See `Runtime`."""
        self._found[container] = replace(self._found[container], status=Status.RUNNING, started=1)

    async def restart(self, container: str) -> None:
        """See `Runtime`."""
        await self.start(container)

    async def probe(self, container: str, within: float) -> Result:
        """See `Runtime`."""
        del container, within
        return Result(passed=True)

    async def remove(self, container: str) -> None:
        """See `Runtime`."""
        self._found.pop(container, None)

    async def release(self, deployment: DeploymentName) -> None:
        """See `Runtime`."""

    async def shared(self) -> frozenset[DeploymentName]:
        """See `Runtime`."""
        return frozenset()

    async def sweep(self) -> None:
        """See `Runtime`."""

    async def changes(self) -> AsyncGenerator[DeploymentName | None, None]:
        """See `Runtime`. Nothing ever happens by itself."""
        await asyncio.Event().wait()
        yield None
