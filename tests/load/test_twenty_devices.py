"""Twenty devices, three deployments, real containers: all there soon, and all gone again."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from tests.load.conftest import NAMESPACE
from tests.using_lab.buckets import keys
from tests.using_lab.cluster import NOTHING, Cluster
from tests.using_lab.devices import Device
from tests.using_lab.images import Images
from tests.using_lab.labs import Status
from tests.using_lab.manifests import deployment, service
from tests.using_lab.waiting import eventually

WITHIN = 20.0  # the requirement: every aggregate is right so soon after the apply
GONE_WITHIN = 60.0
LOOK = 1.0  # each look is a process, on the cores that the devices share
NAMES = ("load-one", "load-two", "load-three")
EVERYWHERE = {"load": "yes"}

T = TypeVar("T")
Devices = tuple[Device, ...]


@pytest.fixture(scope="module")
def labelled(cluster: Cluster, devices: Devices) -> None:
    """Every device, selected by one label."""
    label = ",".join(f"{key}={value}" for key, value in EVERYWHERE.items())
    cluster.kubectl("label", "fleetdev", "--all", label, "--overwrite")


@pytest.mark.usefixtures("labelled")
def test_every_aggregate_is_right_within_twenty_seconds_of_the_apply_and_of_an_update(
    cluster: Cluster, devices: Devices, images: Images
):
    assert len(devices) == 20
    for image in (images.v1, images.v2):
        begun = time.monotonic()
        roll_out(cluster, image)
        await_running(cluster, len(devices), image, within=WITHIN - (time.monotonic() - begun))
        running = on_all(devices, lambda device: device.containers(*NAMES))
        wanted = {f"fleet.{name}.page" for name in NAMES}
        assert {device.id: set(found) for device, found in running} == {
            device.id: wanted for device in devices
        }


@pytest.mark.usefixtures("labelled")
def test_nothing_is_left_after_deletion(
    cluster: Cluster, devices: Devices, images: Images, status: Status
):
    roll_out(cluster, images.v1)
    await_running(cluster, len(devices), images.v1, within=WITHIN)
    cluster.kubectl("delete", "fleetdep", *NAMES, "-n", NAMESPACE, "--timeout=60s")
    remaining = on_all(devices, lambda device: device.remains(NAMES))
    assert {device.id: left for device, left in remaining if left} == {}

    def look() -> None:
        """no bucket has a key of the deployments"""
        for bucket in ("desired-state", "device-state"):
            assert {key for key in keys(status, bucket) if key.split(".")[-1] in NAMES} == set()

    eventually(look, within=GONE_WITHIN)


def roll_out(cluster: Cluster, image: str) -> None:
    """Apply all three deployments at once."""
    page = service("page", image)
    cluster.apply(*(deployment(n, page, on=EVERYWHERE, namespace=NAMESPACE) for n in NAMES))


def await_running(cluster: Cluster, devices: int, image: str, *, within: float) -> None:
    """Wait until every aggregate speaks of *image*, and says that all devices run it."""

    def look() -> None:
        found = json.loads(cluster.kubectl("get", "fleetdep", "-n", NAMESPACE, "-o", "json"))
        sums = {each["metadata"]["name"]: aggregate(each) for each in found["items"]}
        assert sums == {name: NOTHING | {"matched": devices, "running": devices} for name in NAMES}

    look.__doc__ = f"{devices} devices run {image} of {', '.join(NAMES)}"
    eventually(look, within=within, every=LOOK)


def aggregate(found: dict[str, Any]) -> dict[str, int]:
    """Read the sums, once they are of the newest spec."""
    status = found["status"]
    assert status["observedGeneration"] == found["metadata"]["generation"]
    return {key: status["aggregate"].get(key, 0) for key in NOTHING}


def on_all(devices: Devices, ask: Callable[[Device], T]) -> list[tuple[Device, T]]:
    """Ask every device, a few at a time: each answer is a process."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(zip(devices, pool.map(ask, devices), strict=True))
