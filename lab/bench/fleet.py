"""The lab that a benchmark with real containers runs on: one that is up, and is left as it was."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from fleet.contracts.names import DeviceId
from lab.bench import podman_baseline
from lab.bench.deployments import Board
from lab.bench.podman_baseline import Podman
from lab.errors import NothingThere
from lab.lifecycle import status as statuses
from lab.services.cluster.client import FLEET, KubeClient, kube_client

_LABEL = "bench"


@dataclass(frozen=True, slots=True)
class Fleet:
    """Some devices of a lab, and the way to them. *labels* select just these."""

    board: Board
    podmans: tuple[Podman, ...]
    image: str
    labels: dict[str, str]


@contextlib.asynccontextmanager
async def devices_of(lab: str, count: int) -> AsyncIterator[Fleet]:
    """Take *count* devices of *lab* into a fleet of the benchmark's own, until the block ends."""
    status = statuses.status(lab)
    if status["stage"] != "ready" or len(status["devices"]) < count:
        raise NothingThere(
            f"lab {lab} is {status['stage']}, with {len(status['devices'])} devices; "
            f"{count} are needed",
            element=lab,
            hint=f"invoke lab.up --topology load --name {lab}",
        )
    chosen = [
        (DeviceId(device["id"]), Path(device["podman"].removeprefix("unix://")))
        for device in status["devices"][:count]
    ]
    image = f"{status['registry']['address']}/demo/hello-web:v1"
    async with (
        kube_client(Path(status["kubernetes"]["kubeconfig"])) as kube,
        podman_baseline.reaching(chosen) as podmans,
        _labelled(kube, [podman.device for podman in podmans]) as labels,
        Board(kube).watching() as board,
    ):
        yield Fleet(board, podmans, image, labels)


@contextlib.asynccontextmanager
async def _labelled(kube: KubeClient, devices: list[DeviceId]) -> AsyncIterator[dict[str, str]]:
    """Label *devices*, until the block ends."""
    await _label(kube, devices, "yes")
    try:
        yield {_LABEL: "yes"}
    finally:
        await _label(kube, devices, None)


async def _label(kube: KubeClient, devices: list[DeviceId], value: str | None) -> None:
    for device in devices:
        await kube.patch(f"{FLEET}/devices/{device}", {"metadata": {"labels": {_LABEL: value}}})
