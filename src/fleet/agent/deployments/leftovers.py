"""
Have removed what nobody needs any more, and nobody removed: networks, and files.

Files, which may hold secrets, are left where a container went without us (``podman rm``), or where
podman didn't say whether it made one, and an agent that is killed leaves some.

A deployment that is withdrawn removes its own as its last act. What is left is that of one whose
services no longer want it, of one whose journal was lost, or what somebody else's container used
at that time. Podman keeps what a container uses.
"""

import asyncio
from collections.abc import Callable

import structlog

from fleet import errors
from fleet.agent.model import intents
from fleet.agent.runtimes.port import Runtime
from fleet.contracts.names import DeploymentName
from fleet.contracts.scores import NetworkMode

log = structlog.get_logger(__name__)

LOOK_SECONDS = 600.0


def needs_network(intent: intents.Intent | None) -> bool:
    """Tell whether a service of a deployment may want its network; one that goes sees to it."""
    if intent is None:
        return False
    match intents.pursued(intent):
        case intents.Apply(workloads=workloads):
            return any(w.service.network_mode is NetworkMode.BRIDGE for w in workloads)
        case _:
            return True


class Leftovers:
    """Removes networks that no *intent* of their deployment needs, and files of no container."""

    def __init__(
        self,
        runtime: Runtime,
        intent: Callable[[DeploymentName], intents.Intent | None],
        every: float = LOOK_SECONDS,
    ) -> None:
        self._runtime = runtime
        self._intent = intent
        self._every = every

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            try:
                await self.look()
            except errors.RuntimeUnavailable as exc:
                log.debug("leftovers not looked for", error=str(exc))
            await asyncio.sleep(self._every)

    async def look(self) -> None:
        """Look once."""
        await self._runtime.sweep()
        for deployment in sorted(await self._runtime.shared()):
            if not needs_network(self._intent(deployment)):
                await self._runtime.release(deployment)
