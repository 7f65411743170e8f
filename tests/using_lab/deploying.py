"""
A deployment's life: it runs where its selector matches, follows its spec, and leaves nothing.

Proved on devices of either back-end: ``tests/e2e`` and ``tests/vm`` collect the same tests.
"""

import pytest
import yaml

from tests.using_lab.buckets import keys
from tests.using_lab.cluster import Cluster
from tests.using_lab.devices import WITHIN, Device
from tests.using_lab.fleets import Fleet
from tests.using_lab.images import Images
from tests.using_lab.labs import Status
from tests.using_lab.manifests import NAMESPACE, deployment, service
from tests.using_lab.waiting import eventually

PORT = 18080
LOW_PORT = 80
Devices = tuple[Device, ...]


@pytest.mark.needs(devices=3)
def test_a_deployment_runs_on_the_devices_that_match_and_nowhere_else(
    fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    one, two, three, *_ = devices
    selector = fleet.label("kiosk", one, two)
    fleet.apply(deployment("kiosk", service("page", images.v1, port=PORT), on=selector))

    cluster.await_aggregate("kiosk", matched=2, running=2)
    for device in (one, two):
        device.await_page(PORT, images.v1_says)
        assert set(device.containers("kiosk")) == {"fleet.kiosk.page"}
    assert three.remains(["kiosk"]) == []


def test_kubectl_get_says_ready_and_conditions_agree(
    fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    selector = fleet.label("kiosk", *devices)
    fleet.apply(deployment("kiosk", service("page", images.v1, port=PORT), on=selector))

    every = len(devices)
    cluster.await_aggregate("kiosk", matched=every, running=every)
    row = cluster.row("fleetdep", "kiosk")
    assert (row["READY"], row["FAILED"], row["REASON"]) == (f"{every}/{every}", "0", "")
    assert cluster.condition("fleetdep", "kiosk", "Accepted")["status"] == "True"
    assert cluster.condition("fleetdep", "kiosk", "Available")["status"] == "True"
    assert cluster.condition("fleetdep", "kiosk", "Degraded")["status"] == "False"


def test_an_update_changes_the_page_and_only_the_container_of_the_changed_service(
    fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    device, *_ = devices
    selector = fleet.label("kiosk", device)
    beside = service("beside", images.v1, port=PORT + 1)
    fleet.apply(deployment("kiosk", service("page", images.v1, port=PORT), beside, on=selector))
    device.await_page(PORT, images.v1_says)
    old = device.await_containers("fleet.kiosk.page", "fleet.kiosk.beside", of="kiosk")

    fleet.apply(deployment("kiosk", service("page", images.v2, port=PORT), beside, on=selector))

    device.await_page(PORT, images.v2_says)
    cluster.await_aggregate("kiosk", matched=1, running=1)
    new = device.containers("kiosk")
    assert new["fleet.kiosk.page"].id != old["fleet.kiosk.page"].id
    assert new["fleet.kiosk.beside"] == old["fleet.kiosk.beside"]


def test_applying_the_same_again_restarts_nothing(
    fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    device, *_ = devices
    manifest = deployment(
        "kiosk", service("page", images.v1, port=PORT), on=fleet.label("kiosk", device)
    )
    fleet.apply(manifest)
    cluster.await_aggregate("kiosk", matched=1, running=1)
    before = device.containers("kiosk")

    cluster.kubectl("replace", "-f", "-", stdin=yaml.safe_dump(manifest))
    cluster.kubectl("annotate", "fleetdep", "kiosk", "-n", NAMESPACE, "note=touched")
    _proof_of_passage(fleet, cluster, device, images)

    assert device.containers("kiosk") == before


@pytest.mark.needs(devices=2)
def test_a_label_takes_a_device_in_and_out(
    fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    one, two, *_ = devices
    selector = fleet.label("kiosk", one)
    fleet.apply(deployment("kiosk", service("page", images.v1, port=PORT), on=selector))
    cluster.await_aggregate("kiosk", matched=1, running=1)
    first = one.containers("kiosk")

    fleet.label("kiosk", two)
    cluster.await_aggregate("kiosk", matched=2, running=2)
    two.await_page(PORT, images.v1_says)

    fleet.unlabel(two)
    cluster.await_aggregate("kiosk", matched=1, running=1)
    two.await_containers(of="kiosk")
    assert one.containers("kiosk") == first


def test_deleting_a_deployment_leaves_no_container_and_no_object(
    fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    selector = fleet.label("kiosk", *devices)
    fleet.apply(deployment("kiosk", service("page", images.v1, port=PORT), on=selector))
    cluster.await_aggregate("kiosk", matched=len(devices), running=len(devices))

    fleet.delete("kiosk")

    assert "kiosk" not in cluster.names("fleetdep", "-n", NAMESPACE)
    # The finalizer goes when the devices have said that all is gone, so there is no waiting here.
    assert not any(device.remains(["kiosk"]) for device in devices)


def test_deleting_a_deployment_leaves_no_key(
    fleet: Fleet, cluster: Cluster, devices: Devices, images: Images, status: Status
):
    device, *_ = devices
    selector = fleet.label("kiosk", device)
    fleet.apply(deployment("kiosk", service("page", images.v1, port=PORT), on=selector))
    cluster.await_aggregate("kiosk", matched=1, running=1)
    assert f"{device.id}.kiosk" in keys(status, "desired-state")
    assert f"state.{device.id}.kiosk" in keys(status, "device-state")

    fleet.delete("kiosk")

    assert f"{device.id}.kiosk" not in keys(status, "desired-state")
    assert f"state.{device.id}.kiosk" not in keys(status, "device-state")


@pytest.mark.needs(devices=2)
def test_an_image_that_does_not_exist_is_counted_and_named(
    fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    one, two, *_ = devices
    selector = fleet.label("kiosk", one, two)
    fleet.apply(deployment("kiosk", service("page", images.missing, port=PORT), on=selector))

    cluster.await_aggregate("kiosk", matched=2, failed=2)
    row = cluster.row("fleetdep", "kiosk")
    assert (row["READY"], row["FAILED"], row["REASON"]) == ("0/2", "2", "ImageNotFound")
    error = cluster.get("fleetdep", "kiosk")["status"]["aggregate"]["lastError"]
    assert error["deviceId"] in {one.id, two.id}
    assert images.missing in error["message"]
    assert cluster.condition("fleetdep", "kiosk", "Degraded")["status"] == "True"


def test_an_update_that_cannot_be_pulled_leaves_the_old_version_serving(
    fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    device, *_ = devices
    selector = fleet.label("kiosk", device)
    fleet.apply(deployment("kiosk", service("page", images.v1, port=PORT), on=selector))
    cluster.await_aggregate("kiosk", matched=1, running=1)
    before = device.containers("kiosk")

    fleet.apply(deployment("kiosk", service("page", images.missing, port=PORT), on=selector))
    cluster.await_aggregate("kiosk", matched=1, failed=1)
    assert device.containers("kiosk") == before
    assert images.v1_says in device.page(PORT)

    fleet.apply(deployment("kiosk", service("page", images.v2, port=PORT), on=selector))
    device.await_page(PORT, images.v2_says)
    cluster.await_aggregate("kiosk", matched=1, running=1)
    assert cluster.row("fleetdep", "kiosk")["REASON"] == ""


def test_an_empty_selector_matches_nothing(
    fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    fleet.apply(deployment("kiosk", service("page", images.v1), on={}))

    cluster.await_aggregate("kiosk")
    _proof_of_passage(fleet, cluster, devices[0], images)
    assert not any(device.remains(["kiosk"]) for device in devices)


@pytest.mark.needs("low-port")
def test_a_device_that_runs_as_root_serves_at_a_privileged_port(
    fleet: Fleet, cluster: Cluster, fitting: Devices, images: Images
):
    device, *_ = fitting
    selector = fleet.label("kiosk", device)

    fleet.apply(deployment("kiosk", service("page", images.v1, port=LOW_PORT), on=selector))

    device.await_page(LOW_PORT, images.v1_says)
    cluster.await_aggregate("kiosk", matched=1, running=1)


@pytest.mark.needs("rootless")
def test_a_rootless_device_says_that_it_may_not_open_a_privileged_port(
    fleet: Fleet, cluster: Cluster, fitting: Devices, images: Images
):
    device, *_ = fitting
    selector = fleet.label("kiosk", device)

    fleet.apply(deployment("kiosk", service("page", images.v1, port=LOW_PORT), on=selector))

    cluster.await_aggregate("kiosk", matched=1, failed=1)
    assert cluster.row("fleetdep", "kiosk")["REASON"] == "PortForbidden"
    error = cluster.get("fleetdep", "kiosk")["status"]["aggregate"]["lastError"]
    assert "choose a port of 1024 or more" in error["message"]


def test_a_service_that_ends_is_started_again(
    fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    device, *_ = devices
    selector = fleet.label("kiosk", device)
    fleet.apply(deployment("kiosk", service("page", images.v1, port=PORT), on=selector))
    cluster.await_aggregate("kiosk", matched=1, running=1)
    before = device.containers("kiosk")["fleet.kiosk.page"]

    device.podman("kill", "fleet.kiosk.page")

    def look() -> None:
        """the service was started again"""
        after = device.containers("kiosk")["fleet.kiosk.page"]
        assert after.started_at != before.started_at

    eventually(look, within=WITHIN)
    device.await_page(PORT, images.v1_says)
    cluster.await_aggregate("kiosk", matched=1, running=1)


def _proof_of_passage(fleet: Fleet, cluster: Cluster, device: Device, images: Images) -> None:
    """Send something else all the way to the device: what came before it has been seen there."""
    selector = fleet.label("kiosk", device)
    fleet.apply(deployment("passage", service("page", images.v1, port=PORT + 9), on=selector))
    cluster.await_aggregate("passage", matched=1, running=1)
