"""What the journal says of a deployment that is applied again while its removal runs."""

import asyncio

from fleet.agent.journal import entries
from fleet.agent.journal.store import MemoryStore
from fleet.agent.model.workloads import Workload
from fleet.bus.memory import MemoryServer
from fleet.contracts.messages import Phase
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.contracts.permissions import device_permissions
from tests import virtual_time
from tests.agent_device import Hub, running_agent
from tests.unit.agent.deployments.test_loop import app
from tests.unit.agent.world import WEB, FakeRuntime

DEVICE = DeviceId("dev-01")


class Slow(FakeRuntime):
    """A runtime that answers late that a container is gone; notes the journal at each creation."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__()
        self.store = store
        self.is_removing, self.may_answer = asyncio.Event(), asyncio.Event()
        self.withdrawn: list[bool] = []

    async def create(self, workload: Workload) -> None:
        entry = entries.decode(DeploymentName(WEB), self.store.content[DeploymentName(WEB)])
        self.withdrawn.append(entry.is_withdrawn)
        await super().create(workload)

    async def remove(self, container: str) -> None:
        await super().remove(container)
        self.is_removing.set()
        await self.may_answer.wait()


def test_no_container_is_made_while_the_journal_says_withdrawn():
    async def stage() -> None:
        server, store = MemoryServer(), MemoryStore()
        runtime, hub = Slow(store), Hub(server.connect(), DEVICE)
        bus = server.connect(device_permissions(DEVICE))
        async with bus, running_agent(DEVICE, runtime, bus, store):
            await hub.deploy(WEB, app("a"))
            await hub.reaches(WEB, Phase.RUNNING)
            await hub.withdraw(WEB)
            await runtime.is_removing.wait()
            await hub.deploy(WEB, app("a", image="app:2"))
            await asyncio.sleep(1)
            runtime.may_answer.set()
            await hub.reaches(WEB, Phase.RUNNING)
        assert runtime.withdrawn == [False, False]

    virtual_time.run(stage())
