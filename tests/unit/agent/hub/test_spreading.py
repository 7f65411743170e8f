"""What a whole fleet would tell at one instant is spread over its time."""

import asyncio
import itertools
from collections.abc import Callable
from datetime import UTC, datetime

from fleet.agent.hub.desired_watch import DesiredWatch
from fleet.agent.hub.device_info import DeviceInfoPublisher
from fleet.agent.model import intents
from fleet.bus.memory import MemoryServer
from fleet.contracts import messages
from fleet.contracts.names import DeploymentName, DeviceId
from tests import virtual_time
from tests.unit.agent.world import FakeRuntime

FLEET = 300
SPREAD = 60.0


def evenly() -> Callable[[], float]:
    """Give chances that lie evenly in [0, 1)."""
    numbers = itertools.count()
    return lambda: next(numbers) * 0.618034 % 1.0


class Clock:
    """When each word was said."""

    def __init__(self) -> None:
        self.said: list[float] = []

    def __call__(self) -> None:
        self.said.append(asyncio.get_running_loop().time())

    def within(self, seconds: float) -> int:
        return sum(at <= seconds for at in self.said)


class OneDeployment:
    """A device with one deployment, whose state is told again when asked for."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell

    def intent(self, deployment: DeploymentName) -> None:
        """Know nothing."""

    def accept(self, deployment: DeploymentName, intent: intents.Intent) -> None:
        """Do nothing."""

    def repeat(self) -> tuple[Callable[[], None], ...]:
        """Tell of the one."""
        return (self._tell,)


def test_a_fleet_that_is_heard_again_within_a_session_says_everything_over_the_jitter():
    """201 of 300 devices spoke within 7 s, and said what they are all at once."""

    async def scenario() -> None:
        states, infos, chance = Clock(), Clock(), evenly()
        desired = MemoryServer().connect().bucket(messages.DESIRED_STATE)
        for number in range(FLEET):
            DesiredWatch(
                DeviceId(f"d-{number}"),
                desired,
                OneDeployment(states),
                may_speak=asyncio.Event(),
                on_again=infos,
                random=chance,
                spread=SPREAD,
            ).say_again()
        await asyncio.sleep(SPREAD)
        for told in (states, infos):
            assert len(told.said) == FLEET
            assert told.within(7) < FLEET / 4

    virtual_time.run(scenario())


def test_a_fleet_that_starts_at_one_instant_says_what_it_is_over_some_seconds():
    async def scenario() -> None:
        server, chance = MemoryServer(), evenly()
        started = datetime(2026, 1, 1, tzinfo=UTC)
        tasks = [
            asyncio.create_task(
                DeviceInfoPublisher(
                    messages.DeviceInfo(device_id=DeviceId(f"d-{number}"), labels={}),
                    server.connect().bucket(messages.DEVICE_INFO),
                    FakeRuntime(),
                    every=60,
                    now=lambda: started,
                    random=chance,
                    spread=SPREAD,
                ).run()
            )
            for number in range(FLEET)
        ]
        stream = server.stream(messages.DEVICE_INFO.bucket)
        await asyncio.sleep(1)
        assert len(stream.replay(">")) < FLEET / 5
        await asyncio.sleep(SPREAD / 4)
        assert len(stream.replay(">")) == FLEET
        for task in tasks:
            task.cancel()

    virtual_time.run(scenario())


def test_what_was_told_when_nobody_heard_is_told_again_until_somebody_does():
    async def scenario() -> None:
        server = MemoryServer()
        now = datetime.now(UTC)
        described = messages.DeviceInfo(device_id=DeviceId("d-1"), labels={})
        bucket = server.connect().bucket(messages.DEVICE_INFO)
        publisher = DeviceInfoPublisher(
            described, bucket, FakeRuntime(), every=60, now=lambda: now, random=lambda: 0.5
        )
        server.stop()
        task = asyncio.create_task(publisher.run())
        await asyncio.sleep(60)
        server.start()
        await asyncio.sleep(60)
        assert len(server.stream(messages.DEVICE_INFO.bucket).replay(">")) == 1
        task.cancel()

    virtual_time.run(scenario())
