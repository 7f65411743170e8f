"""`devices`: however a fleet flaps, its objects are written at a rate, and end up right."""

import asyncio
from collections import Counter as Counts
from datetime import timedelta

from fleet.contracts.names import DeviceId
from fleet.operator.model import custom_resources
from fleet.operator.model.custom_resources import Device
from fleet.operator.model.duplicate_agents import DuplicateAgents
from fleet.operator.model.presence import Presence
from fleet.operator.model.store import Store
from fleet.operator.ports import Body
from fleet.operator.writers import devices
from fleet.operator.writers.devices import DeviceWriter
from fleet.operator.writers.event_recorder import EventRecorder
from fleet.operator.writers.work_queue import Pace, WorkQueue
from tests import virtual_time
from tests.unit.operator.fakes import FakeClock, FakeCluster, FakeCounter
from tests.unit.operator.making import START, info

FLEET = [DeviceId(f"d{number}") for number in range(1000)]
FLAPS = 40


class TimedCluster(FakeCluster):
    """Notes in which second each status was written; a write takes a while."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: Counts[int] = Counts()

    async def apply_device_status(self, device: DeviceId, status: Body) -> Body:
        """Write it."""
        self.seconds[int(asyncio.get_running_loop().time())] += 1
        await asyncio.sleep(0.01)
        return await super().apply_device_status(device, status)


class Scene:
    """A writer of a whole fleet, and the queues that it works for."""

    def __init__(self) -> None:
        self.store = Store()
        self.presence = Presence()
        self.cluster = TimedCluster()
        counter = FakeCounter()
        made = DeviceWriter(
            self.store,
            self.presence,
            DuplicateAgents(timedelta(minutes=1)),
            self.cluster,
            recorder=EventRecorder(self.cluster, FakeClock(), counter),
            clock=FakeClock(),
            counter=counter,
            observe=self.observe,
            status_written=self.observe,
        )
        pace = Pace(workers=10, spacing=1.0)
        self.registrations: WorkQueue[DeviceId] = WorkQueue("r", made.register, pace, counter)
        self.descriptions: WorkQueue[DeviceId] = WorkQueue("d", made.describe, pace, counter)

    def observe(self, device: Device) -> None:
        self.store.put_device(device)
        self.descriptions.add((device.id,))

    def turn(self, *, silent: bool) -> None:
        """Have the whole fleet fall silent, or be heard, at once."""
        for device in FLEET:
            if silent:
                self.presence.silence(device)
            else:
                self.presence.hear(device, START, START)
        self.descriptions.add(FLEET)

    def ready(self) -> Counts[str]:
        """Count what the objects say."""
        found = [custom_resources.parse_device(body) for body in self.cluster.devices.values()]
        return Counts(
            condition["status"]
            for device in found
            for condition in device.status["conditions"]
            if condition["type"] == "Ready"
        )


def test_a_thousand_devices_that_flap_are_written_at_a_rate_and_end_up_right():
    async def scenario() -> None:
        scene = Scene()
        queues = [
            asyncio.create_task(queue.run()) for queue in (scene.registrations, scene.descriptions)
        ]
        for device in FLEET:
            scene.store.put_info(device, info(device, {"site": "a"}))
        scene.registrations.add(FLEET)
        for flap in range(FLAPS):
            scene.turn(silent=flap % 2 == 0)
            await asyncio.sleep(0.7)
        scene.turn(silent=False)
        await asyncio.sleep(60)

        assert scene.ready() == {"True": len(FLEET)}
        seconds = scene.cluster.seconds
        assert max(seconds.values()) <= devices.STATUSES_AT_ONCE + devices.STATUSES_PER_SECOND
        later = [count for second, count in seconds.items() if second > 2]
        assert max(later) <= devices.STATUSES_PER_SECOND + 10  # one for each worker
        for queue in queues:
            queue.cancel()

    virtual_time.run(scenario())


def test_labels_do_not_wait_for_the_statuses_of_a_fleet():
    async def scenario() -> None:
        scene = Scene()
        queues = [
            asyncio.create_task(queue.run()) for queue in (scene.registrations, scene.descriptions)
        ]
        for device in FLEET:
            scene.store.put_info(device, info(device))
        scene.registrations.add(FLEET)
        await asyncio.sleep(0)
        scene.turn(silent=True)
        await asyncio.sleep(2)
        assert scene.cluster.writes["device status"] < len(FLEET)  # they are busy for a while

        scene.store.put_info(FLEET[7], info(FLEET[7], {"site": "b"}))
        scene.registrations.add((FLEET[7],))
        await asyncio.sleep(0.1)
        assert scene.cluster.devices[FLEET[7]]["metadata"]["labels"] == {"site": "b"}
        for queue in queues:
            queue.cancel()

    virtual_time.run(scenario())
