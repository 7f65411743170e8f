"""
A device as the operator sees it: what an agent says on the bus, and nothing behind it.

It says what it is told to say: a test decides when it is heard and how its
deployments fare. With `obey` it does what an agent does: reports each wanted
revision as running, and drops a state when it reads a delete marker.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime

from fleet.bus.port import Bus, Deleted, Put
from fleet.contracts import kv, messages
from fleet.contracts.messages import (
    DeploymentState,
    DeviceInfo,
    HeartbeatPayload,
    Inventory,
    Phase,
    ReconcileScore,
    ServiceState,
    StateError,
)
from fleet.contracts.names import DeploymentName, DeviceId

INVENTORY = Inventory(
    hostname="sim", arch="x86_64", os="Linux", kernel="6.1", cpus=2, memory_bytes=1 << 30
)


class SimulatedDevice:
    """One device's messages."""

    def __init__(self, bus: Bus, device_id: str, instance: str = "sim") -> None:
        self.id = DeviceId(device_id)
        self.instance = instance
        self.desired = bus.bucket(messages.DESIRED_STATE)
        self.infos = bus.bucket(messages.DEVICE_INFO)
        self.states = bus.bucket(messages.DEVICE_STATE)
        self.heartbeats = bus.bucket(messages.DEVICE_HEARTBEAT)

    async def register(self, labels: Mapping[str, str]) -> None:
        """Say what the device is, and that it is there."""
        info = DeviceInfo(
            device_id=self.id,
            labels=dict(labels),
            instance=self.instance,
            inventory=INVENTORY,
            agent_version="0",
            updated_at=datetime.now(UTC),
        )
        await self.infos.put(kv.device_info_key(self.id), info)
        await self.beat()

    async def beat(self) -> None:
        """Say once that the device is there."""
        payload = HeartbeatPayload(device_id=self.id, at=datetime.now(UTC), instance=self.instance)
        await self.heartbeats.put(kv.device_heartbeat_key(self.id), payload)

    async def keep_beating(self, every: float) -> None:
        """Say it for ever."""
        while True:
            await self.beat()
            await asyncio.sleep(every)

    @asynccontextmanager
    async def beating(self, every: float = 0.5) -> AsyncIterator[None]:
        """Be heard while the block runs."""
        task = asyncio.create_task(self.keep_beating(every))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def report(
        self,
        deployment: str,
        phase: Phase,
        revision: str,
        error: StateError | None = None,
        *,
        services: tuple[ServiceState, ...] = (),
    ) -> None:
        """Say how a deployment fares."""
        name = DeploymentName(deployment)
        state = DeploymentState(
            device_id=self.id,
            deployment=name,
            phase=phase,
            revision=revision,
            services=services,
            error=error,
            updated_at=datetime.now(UTC),
        )
        await self.states.put(kv.device_state_key(self.id, name), state)

    async def forget(self, deployment: str) -> None:
        """Say that nothing of a deployment is left."""
        await self.states.delete(kv.device_state_key(self.id, DeploymentName(deployment)))

    async def wanted(self, deployment: str) -> ReconcileScore | None:
        """Read what is wanted, if anything."""
        entry = await self.desired.get(kv.desired_state_key(self.id, DeploymentName(deployment)))
        return entry.value if isinstance(entry, Put) else None

    async def obey(self) -> None:
        """Do what is wanted, at once and for ever."""
        async with aclosing(self.desired.watch(kv.desired_state_filter(self.id))) as events:
            async for event in events:
                match event:
                    case Put(key=key, value=value):
                        _, deployment = kv.parse_desired_state_key(key)
                        await self.report(deployment, Phase.PENDING, value.revision)
                        await self.report(deployment, Phase.RUNNING, value.revision)
                    case Deleted(key=key):
                        _, deployment = kv.parse_desired_state_key(key)
                        await self.forget(deployment)
                    case _:
                        pass
