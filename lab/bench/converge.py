"""
How long a fleet takes with real containers, beside the same containers through podman's API alone.

Twenty devices, three deployments of one service: from the apply until every status says that all
run. The two ways take turns, so that what else the machine does weighs on both.
"""

import time
from collections.abc import Callable

from lab.bench import deployments, podman_baseline
from lab.bench import fleet as fleets
from lab.bench.fleet import Fleet
from lab.bench.results import Figure

DEPLOYMENTS = 3
_RATIO = 1.2


async def measure(lab: str, devices: int, rounds: int, say: Callable[[str], None]) -> list[Figure]:
    """Measure on *lab*, which is up."""
    async with fleets.devices_of(lab, devices) as fleet:
        say("once, so that images are there")
        await _apply(fleet, "bench-warm")
        through_podman, through_fleet = [], []
        for number in range(1, rounds + 1):
            say(f"round {number} of {rounds}: podman")
            through_podman.append(
                await podman_baseline.run_all(fleet.podmans, fleet.image, DEPLOYMENTS)
            )
            say(f"round {number} of {rounds}: fleet")
            through_fleet.append(await _apply(fleet, f"bench-{number}"))
    size = f"{devices} x {DEPLOYMENTS}"
    podman = Figure.of(f"{size} podman alone", through_podman)
    ours = Figure.of(
        f"{size} apply to right", through_fleet, baseline=podman.name, ratio_aim=_RATIO
    )
    return [podman, ours]


async def _apply(fleet: Fleet, prefix: str) -> float:
    """Time deployments from the apply to right statuses, and delete them."""
    names = [f"{prefix}-{number}" for number in range(DEPLOYMENTS)]
    wanted = [deployments.manifest(name, fleet.image, fleet.labels) for name in names]
    begun = time.perf_counter()
    try:
        await fleet.board.apply(wanted)
        await fleet.board.right(names, running=len(fleet.podmans))
        return time.perf_counter() - begun
    finally:
        await fleet.board.delete(names)
