"""One lane of the soak: sessions broken one after the other, and what came of each."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fleet import errors
from fleet.bus import streams
from fleet.bus.nats import NatsBus
from fleet.bus.streams import Sizing
from fleet.contracts.names import DeviceId
from lab.errors import LabError
from lab.soak import waits
from lab.soak.hub import faults
from lab.soak.hub import site as sites
from lab.soak.hub.site import Ports, Shape, Site
from lab.soak.judgement import judge
from lab.soak.outcome import Outcome
from lab.soak.schedule import Break
from lab.soak.traffic import sides
from lab.soak.traffic.sides import Traffic
from lab.soak.traffic.writer import Log

MAKES_BUCKETS_WITHIN = 60.0
LOOKS_EVERY = 0.2
FEWEST_ATTEMPTS = 6  # to connect, for each bus and server; and so many for each second of a fault:
ATTEMPTS_PER_SECOND = 2.5  # pauses grow from 0.05 s to 1 s


@dataclass(frozen=True, slots=True)
class Limits:
    """
    How long things may take, in seconds; generous, since the host has other work.

    *back* is for both buses to get through again after a fault, *call* for one call (their patience
    is 1 s), *settle* for the watches to see all, and for each bus to have one connection, *truth*
    for a bus to say that it isn't connected (it pings each second).
    """

    back: float = 60.0
    call: float = 5.0
    settle: float = 20.0
    truth: float = 4.0


class Lane:
    """A site and its traffic, for as long as all goes well."""

    def __init__(self, site: Site, flow: Traffic, limits: Limits) -> None:
        self._site = site
        self._flow = flow
        self._limits = limits

    async def outcome(self, each: Break) -> Outcome:
        """Break one session, and judge it."""
        begun = self._begun()
        back, problems = -1.0, list[str]()
        try:
            back = await self._break(each, problems)
            problems += await judge.problems(self._site, self._flow, within=self._limits.settle)
        except LabError as exc:
            problems.append(str(exc))
        log, attempts = self._flow.take_log(), self._begun() - begun
        problems += [*log.wrong, *self._excesses(each, log, attempts)]
        return Outcome(
            number=each.number,
            fault=each.fault,
            back=back,
            writes=log.writes,
            retries=log.retries,
            slowest=log.slowest,
            attempts=attempts,
            problems=tuple(problems),
        )

    async def _break(self, each: Break, problems: list[str]) -> float:
        """Return how long after the end of its fault every writer got through."""
        loop, within = asyncio.get_running_loop(), self._limits.back
        async with self._flow.flowing(within=within):
            await self._flow.gets_through(within=within)
            await asyncio.sleep(each.after)
            async with faults.striking(self._site, each):
                await asyncio.sleep(each.lasts)
                problems += self._lies(each)
            lifted = loop.time()
            await self._flow.gets_through(within=within)
            return loop.time() - lifted

    def _lies(self, each: Break) -> Iterator[str]:
        """Tell which bus says that it is connected, while no server has answered for long."""
        if each.silences_all and each.lasts > self._limits.truth:
            yield from (
                f"after {each.lasts:.1f} s without a word of the server: {side.said()}"
                for side in self._flow.sides
                if side.bus.connected
            )

    def _begun(self) -> int:
        return sum(route.accepted for route in self._site.routes)

    def _excesses(self, each: Break, log: Log, attempts: int) -> Iterator[str]:
        """Tell what took too long, or was tried too often."""
        if log.slowest > self._limits.call:
            yield f"a call took {log.slowest:.1f} s; {self._limits.call:g} s are allowed"
        each_proxy = FEWEST_ATTEMPTS + ATTEMPTS_PER_SECOND * each.lasts
        if attempts > (allowed := each_proxy * len(self._site.proxies)):
            yield f"{attempts} connections were begun; {allowed:.0f} are allowed"


@asynccontextmanager
async def opened(
    directory: Path, number: int, shape: Shape, given: Ports, limits: Limits
) -> AsyncIterator[Lane]:
    """Bring up lane *number*; it goes with the block."""
    async with running(directory, number, shape, given) as site, sides.connected(site) as flow:
        yield Lane(site, flow, limits)


@asynccontextmanager
async def running(directory: Path, number: int, shape: Shape, given: Ports) -> AsyncIterator[Site]:
    """Run the servers of lane *number* with their buckets, until the block ends."""
    async with sites.running(directory, DeviceId(f"soak-{number}"), shape, given) as site:
        await _make_buckets(site)
        yield site


async def _make_buckets(site: Site) -> None:
    """Make the buckets as the operator does; a cluster takes a while until it can."""
    async with await sides.connect(site, site.operator) as bus:
        making = _try_until_made(bus, site.replicas)
        await waits.finish(
            "the buckets are made", making, within=MAKES_BUCKETS_WITHIN, saw=lambda: str(site.urls)
        )


async def _try_until_made(bus: NatsBus, replicas: int) -> None:
    while True:
        try:
            await bus.wait_for_session()
            await streams.ensure_streams(bus, Sizing(replicas=replicas))
        except errors.BusUnavailable:
            await asyncio.sleep(LOOKS_EVERY)
        else:
            return
