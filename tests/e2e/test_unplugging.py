"""A device without its link keeps what it runs, is counted as unknown, and catches up later."""

import contextlib
from collections.abc import Iterator

from tests.using_lab.cluster import Cluster
from tests.using_lab.devices import Device
from tests.using_lab.fleets import Fleet
from tests.using_lab.images import Images
from tests.using_lab.labs import Lab
from tests.using_lab.manifests import deployment, service
from tests.using_lab.waiting import eventually

PORT = 18280
STALE_WITHIN = 90  # 30 s of silence, and what the operator takes to look
BACK_WITHIN = 120  # reconnecting backs off, with jitter
Devices = tuple[Device, ...]


def test_an_unplugged_device_is_stale_keeps_its_containers_and_catches_up_when_plugged(
    lab: Lab, fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    away, here, _ = devices
    selector = fleet.label("far", away, here)
    fleet.apply(deployment("updated", service("page", images.v1, port=PORT), on=selector))
    fleet.apply(deployment("deleted", service("page", images.v1, port=PORT + 1), on=selector))
    fleet.apply(deployment("kept", service("page", images.v1, port=PORT + 2), on=selector))
    for name in ("updated", "deleted", "kept"):
        cluster.await_aggregate(name, matched=2, running=2)
    before = away.containers("updated", "deleted", "kept")
    assert len(before) == 3

    with _unplugged(lab, away):
        cluster.await_condition("fleetdev", away.id, "Stale", "True", within=STALE_WITHIN)
        cluster.await_aggregate("kept", matched=2, running=1, unknown=1)
        assert cluster.condition("fleetdev", away.id, "Ready")["status"] != "True"

        # One device's absence holds nobody up, neither an update nor a deletion.
        fleet.apply(deployment("updated", service("page", images.v2, port=PORT), on=selector))
        here.await_page(PORT, images.v2_says)
        cluster.await_aggregate("updated", matched=2, running=1, unknown=1)
        fleet.delete("deleted")
        here.await_containers(of="deleted")

        assert away.containers("updated", "deleted", "kept") == before

    cluster.await_condition("fleetdev", away.id, "Stale", "False", within=BACK_WITHIN)
    away.await_page(PORT, images.v2_says, within=BACK_WITHIN)
    away.await_containers(of="deleted")
    cluster.await_aggregate("updated", matched=2, running=2)
    cluster.await_aggregate("kept", matched=2, running=2)
    assert away.containers("kept")["fleet.kept.page"] == before["fleet.kept.page"]


def test_a_container_that_dies_on_an_unplugged_device_comes_back_there(
    lab: Lab, fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    away, *_ = devices
    selector = fleet.label("far", away)
    fleet.apply(deployment("kept", service("page", images.v1, port=PORT), on=selector))
    cluster.await_aggregate("kept", matched=1, running=1)

    with _unplugged(lab, away):
        away.podman("kill", "fleet.kept.page")
        away.await_containers("fleet.kept.page", of="kept")

    cluster.await_aggregate("kept", matched=1, running=1, within=BACK_WITHIN)


@contextlib.contextmanager
def _unplugged(lab: Lab, device: Device) -> Iterator[None]:
    lab.unplug(device.id)
    try:
        _await_reach(lab, device, expected=False)
        yield
    finally:
        lab.plug(device.id)
    _await_reach(lab, device, expected=True)


def _await_reach(lab: Lab, device: Device, *, expected: bool) -> None:
    host, port = lab.status()["registry"]["address"].rsplit(":", 1)

    def look() -> None:
        assert device.reaches(host, int(port)) is expected

    look.__doc__ = f"{device.id} {'reaches' if expected else 'does not reach'} the registry"
    eventually(look, within=30)
