"""Whether what was put has arrived: at the server by a reader of our own, and at the other bus."""

import asyncio
from collections.abc import Mapping

from lab.errors import WaitTimedOut
from lab.soak import waits
from lab.soak.hub.site import Route, Site
from lab.soak.judgement import reader, verdict
from lab.soak.judgement.verdict import Written
from lab.soak.traffic.sides import Side, Traffic

_SHOWN = 3
_READ_EVERY = 0.2


async def problems(site: Site, flow: Traffic, *, within: float) -> tuple[str, ...]:
    """
    Name all that is wrong once nothing is being put any more.

    :raises LabError: the servers can't be read, or don't come to rest.
    """
    for proxy in site.proxies:
        proxy.sweep()
    await waits.until("a connection each", lambda: _excess(site), within=within)
    found = {side.puts_into: await _read(site, side.puts_into, within) for side in flow.sides}
    return (
        *(
            f"{side.puts_into}: {problem}"
            for side in flow.sides
            for problem in verdict.problems(side.accepted(), found[side.puts_into])
        ),
        *[
            problem
            for side in flow.sides
            for problem in await _unseen(side, found[side.follows], within)
        ],
    )


async def _read(site: Site, bucket: str, within: float) -> Mapping[str, Written]:
    """Read *bucket*; a cluster that has just lost its leader takes a while until it can be read."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while True:
        try:
            return await asyncio.to_thread(reader.read, site, bucket)
        except OSError as exc:
            if loop.time() > end:
                raise WaitTimedOut(f"{bucket} can't be read: {exc}") from exc
        await asyncio.sleep(_READ_EVERY)


async def _unseen(side: Side, found: Mapping[str, Written], within: float) -> tuple[str, ...]:
    """Give a watch time to see what is found."""

    def missing() -> str:
        differing = verdict.differences(side.follower.view, found)
        return f"{len(differing)} differ: {'; '.join(differing[:_SHOWN])}" if differing else ""

    what = f"the watch of {side.follows} by {side.route.user.name} sees all"
    try:
        await waits.until(what, missing, within=within)
    except WaitTimedOut as exc:
        return (str(exc),)
    return ()


def _excess(site: Site) -> str:
    """Tell which bus holds more connections than it needs, or none."""
    return "; ".join(_counted(route) for route in site.routes if route.open != 1)


def _counted(route: Route) -> str:
    return f"{route.user.name} has {route.open} connections"
