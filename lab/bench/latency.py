"""
How long one person waits for one container: until it runs, and until the status says so.

When it began to run is podman's own word, by the clock that the benchmark and the device share.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from fleet.contracts.containers import container_name
from fleet.contracts.names import DeploymentName
from lab.bench import deployments, podman_baseline
from lab.bench import fleet as fleets
from lab.bench.deployments import SERVICE
from lab.bench.fleet import Fleet
from lab.bench.results import Figure


async def measure(lab: str, repeats: int, say: Callable[[str], None]) -> list[Figure]:
    """Measure on *lab*, which is up."""
    async with fleets.devices_of(lab, 1) as fleet:
        say("once, so that the image is there")
        await _once(fleet, "bench-warm")
        through_podman, through_fleet = [], []
        for number in range(1, repeats + 1):
            say(f"{number} of {repeats}")
            through_podman.append(await podman_baseline.run_all(fleet.podmans, fleet.image, 1))
            through_fleet.append(await _once(fleet, f"bench-{number}"))
    running, told = zip(*through_fleet, strict=True)
    podman = Figure.of("podman alone", through_podman)
    return [
        podman,
        Figure.of("apply to running", running, baseline=podman.name),
        Figure.of("apply to status", told, baseline=podman.name),
    ]


async def _once(fleet: Fleet, name: str) -> tuple[float, float]:
    """Return the seconds from the apply until the container ran, and until the status was right."""
    podman = fleet.podmans[0]
    begun, begun_at = time.perf_counter(), datetime.now(UTC)
    try:
        await fleet.board.apply([deployments.manifest(name, fleet.image, fleet.labels)])
        await fleet.board.right([name], running=1)
        told = time.perf_counter() - begun
        found = await podman.inspect(container_name(DeploymentName(name), SERVICE))
        started = datetime.fromisoformat(found["State"]["StartedAt"])
        return (started - begun_at).total_seconds(), told
    finally:
        await fleet.board.delete([name])
