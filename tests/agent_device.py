"""A device for tests: the whole agent over a runtime and a bus, and named waits on what it says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fleet.agent import service
from fleet.agent.deployments.loop import Rhythm
from fleet.agent.journal.store import Store
from fleet.agent.runtimes.podman.images import Keeping
from fleet.agent.runtimes.port import Runtime
from fleet.bus.port import Bucket, Bus, Deleted, Put
from fleet.contracts import kv, messages, scores
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.supervision.failures import Failures
from tests.waiting import eventually

OWNER = messages.Owner(namespace="default", name="demo", uid="u-1", generation=1)


def podman_score(*services: dict[str, Any]) -> messages.ReconcileScore:
    """Make the desired state that an operator would make of *services*."""
    data = {"services": list(services)}
    return messages.ReconcileScore(
        type="PodmanV0", data=data, revision=scores.revision("PodmanV0", data), owner=OWNER
    )


@dataclass(frozen=True, slots=True)
class Hub:
    """The operator's side of the bus, for one device."""

    bus: Bus
    device_id: DeviceId

    @property
    def desired(self) -> Bucket[messages.ReconcileScore]:
        return self.bus.bucket(messages.DESIRED_STATE)

    @property
    def states(self) -> Bucket[messages.DeploymentState]:
        return self.bus.bucket(messages.DEVICE_STATE)

    def key(self, deployment: str) -> str:
        return kv.desired_state_key(self.device_id, DeploymentName(deployment))

    async def deploy(self, deployment: str, *services: dict[str, Any]) -> str:
        """Ask for *services*; return the revision."""
        score = podman_score(*services)
        await self.desired.put(self.key(deployment), score)
        return score.revision

    async def withdraw(self, deployment: str) -> None:
        """Put the delete marker."""
        await self.desired.delete(self.key(deployment))

    async def state(self, deployment: str) -> messages.DeploymentState | None:
        """Read what the device says of *deployment*; None where it says nothing."""
        key = kv.device_state_key(self.device_id, DeploymentName(deployment))
        entry = await self.states.get(key)
        return entry.value if isinstance(entry, Put) else None

    async def info(self) -> messages.DeviceInfo | None:
        """Read what the device says of itself."""
        bucket = self.bus.bucket(messages.DEVICE_INFO)
        entry = await bucket.get(kv.device_info_key(self.device_id))
        return entry.value if isinstance(entry, Put) else None

    async def reaches(
        self,
        deployment: str,
        phase: messages.Phase,
        *,
        revision: str | None = None,
        reason: str | None = None,
        running: str | None = None,
        within: float = 15.0,
    ) -> messages.DeploymentState:
        """Wait until *deployment* is in *phase*, and its service *running* runs."""
        seen: list[messages.DeploymentState] = []

        async def look() -> bool:
            state = await self.state(deployment)
            if state is None:
                return False
            if not seen or seen[-1] != state:
                seen.append(state)
            found = state.error.reason if state.error else None
            return (
                state.phase is phase
                and revision in (None, state.revision)
                and (reason is None or reason == found)
                and (running is None or (running, "running") in _services(state))
            )

        try:
            await eventually(look, f"{deployment} is {phase} ({reason})", within=within)
        except AssertionError as exc:
            raise AssertionError(f"{exc}; said so far: {seen}") from None
        return seen[-1]

    async def is_gone(self, deployment: str, *, within: float = 15.0) -> None:
        """Wait until the state key of *deployment* is deleted."""
        key = kv.device_state_key(self.device_id, DeploymentName(deployment))

        async def look() -> bool:
            return isinstance(await self.states.get(key), Deleted)

        await eventually(look, f"the state of {deployment} is deleted", within=within)


@contextlib.asynccontextmanager
async def running_agent(
    device_id: DeviceId,
    runtime: Runtime,
    bus: Bus,
    store: Store | None = None,
    *,
    records: Store | None = None,
    rhythm: Rhythm = Rhythm(resync=5.0),  # noqa: B008 - frozen
    keeping: Keeping = Keeping(),  # noqa: B008 - frozen
    instance: str = "test",
    failures: Failures | None = None,
) -> AsyncIterator["asyncio.Task[None]"]:
    """Run the agent until the block ends; then it is gone as after SIGTERM."""
    identity = service.Identity(device_id, {"site": "lab"}, "0", instance)
    task = asyncio.create_task(
        service.run(
            identity,
            runtime,
            bus,
            store,
            records=records,
            rhythm=rhythm,
            keeping=keeping,
            spread=0.2,
            failures=failures,
        )
    )
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _services(state: messages.DeploymentState) -> set[tuple[str, str]]:
    return {(service.name, str(service.state)) for service in state.services}
