"""
The traffic of a lane: an agent's bus and an operator's, what they put, and what they watch.

The agent puts states, over whatever stands there, and the operator watches them; the operator puts
desired states, over those that it knows, and the agent watches them. Both buses live through all
sessions of a lane.
"""

import asyncio
from collections import ChainMap
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any

from fleet.bus import nats
from fleet.bus.nats import NatsBus
from fleet.bus.pace import Pace
from fleet.contracts import kv, messages
from fleet.contracts.messages import DeploymentState, Phase, ReconcileScore
from fleet.contracts.names import DeploymentName
from lab.soak import waits
from lab.soak.hub.site import Route, Site
from lab.soak.judgement.verdict import Written
from lab.soak.traffic.follower import Follower
from lab.soak.traffic.writer import Log, Writer
from lab.soak.traffic.writing import Guarded, Plain, Writing

WRITERS = 3  # of each bus, so that calls overlap
KEYS = 60  # of each writer, which it takes in turn
LARGE_EVERY = 17  # values; so that some frames span several reads
LARGE_BYTES = 60_000
PACE = Pace(
    heartbeat=timedelta(seconds=0.5),
    jitter=timedelta(0),
    first_retry=timedelta(seconds=0.1),
    longest_retry=timedelta(seconds=1),
    patience=timedelta(seconds=1),
    ping=timedelta(seconds=1),
    settled=timedelta(seconds=2),
)


@dataclass(frozen=True, slots=True)
class Side:
    """One bus: what it puts into *puts_into*, and what it sees of *follows*."""

    route: Route
    bus: NatsBus
    puts_into: str
    writers: tuple[Writer, ...]
    follows: str
    follower: Follower[Any]

    def accepted(self) -> Mapping[str, Written]:
        """Return the last write of each key that was accepted."""
        return ChainMap(*(writer.accepted for writer in self.writers))

    def said(self) -> str:
        """Tell what the bus says of itself."""
        return (
            f"{self.route.user.name}: connected={self.bus.connected}, session {self.bus.session}, "
            f"{self.route.open} open at the proxy"
        )


class Traffic:
    """Both sides."""

    def __init__(self, *sides: Side) -> None:
        self.sides = sides

    @property
    def writers(self) -> tuple[Writer, ...]:
        """All writers."""
        return tuple(writer for side in self.sides for writer in side.writers)

    def said(self) -> str:
        """Tell what the buses say of themselves."""
        return "; ".join(side.said() for side in self.sides)

    def take_log(self) -> Log:
        """Return how writing went since it was last taken, of all together."""
        logs = [writer.take_log() for writer in self.writers]
        return Log(
            writes=sum(log.writes for log in logs),
            retries=sum(log.retries for log in logs),
            slowest=max(log.slowest for log in logs),
            wrong=[wrong for log in logs for wrong in log.wrong],
        )

    async def gets_through(self, *, within: float) -> None:
        """
        Wait until each writer had a value accepted that it begins from now on.

        :raises WaitTimedOut: one hasn't.
        """
        through = asyncio.gather(*(writer.gets_through() for writer in self.writers))
        await waits.finish("every writer gets through", through, within=within, saw=self.said)

    @asynccontextmanager
    async def flowing(self, *, within: float) -> AsyncIterator[None]:
        """
        Have all write while the block runs; then the values at hand are seen through.

        :raises WaitTimedOut: one of them isn't.
        """
        async with _running(*(writer.run() for writer in self.writers)) as tasks:
            yield
            for writer in self.writers:
                writer.stop()
            ended = asyncio.gather(*tasks)
            await waits.finish("every writer ends", ended, within=within, saw=self.said)


@asynccontextmanager
async def connected(site: Site) -> AsyncIterator[Traffic]:
    """Connect both sides over *site*; their watches run with them."""
    numbers = count(1)
    async with (
        await connect(site, site.agent) as agent,
        await connect(site, site.operator) as operator,
    ):
        traffic = Traffic(_agent(site, agent, numbers), _operator(site, operator, numbers))
        async with _running(*(side.follower.run() for side in traffic.sides)):
            yield traffic


async def connect(site: Site, route: Route) -> NatsBus:
    """Begin to connect the user of *route*."""
    return await nats.connect(
        route.url,
        credentials=route.user.credentials,
        name=route.user.name,
        inbox_prefix=route.inbox_prefix,
        ca=site.authority,
        pace=PACE,
    )


def _agent(site: Site, bus: NatsBus, numbers: "count[int]") -> Side:
    def key(name: DeploymentName) -> str:
        return kv.device_state_key(site.device, name)

    def compose(key: str, number: int) -> DeploymentState:
        _, deployment = kv.parse_device_state_key(key)
        return DeploymentState(site.device, deployment, Phase.RUNNING, str(number))

    bucket = bus.bucket(messages.DEVICE_STATE)
    writers = _writers(lambda: Plain(bucket, compose), key, numbers)
    desired = bus.bucket(messages.DESIRED_STATE)
    follower = Follower(desired, kv.desired_state_filter(site.device))
    return Side(site.agent, bus, bucket.name, writers, desired.name, follower)


def _operator(site: Site, bus: NatsBus, numbers: "count[int]") -> Side:
    def key(name: DeploymentName) -> str:
        return kv.desired_state_key(site.device, name)

    def compose(_: str, number: int) -> ReconcileScore:
        filler = "x" * LARGE_BYTES if number % LARGE_EVERY == 0 else ""
        return ReconcileScore("PodmanV0", {"services": [], "filler": filler}, str(number))

    bucket = bus.bucket(messages.DESIRED_STATE)
    writers = _writers(lambda: Guarded(bucket, compose), key, numbers)
    states = bus.bucket(messages.DEVICE_STATE)
    return Side(site.operator, bus, bucket.name, writers, states.name, Follower(states, ">"))


def _writers(
    writing: Callable[[], Writing], key: Callable[[DeploymentName], str], numbers: "count[int]"
) -> tuple[Writer, ...]:
    """Make writers of which no two write to one key."""
    names = [[DeploymentName(f"w{w}-{n}") for n in range(KEYS)] for w in range(WRITERS)]
    return tuple(Writer(writing(), tuple(map(key, each)), numbers) for each in names)


@asynccontextmanager
async def _running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[list["asyncio.Task[None]"]]:
    """Run *work* beside the block, and end it with it."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
