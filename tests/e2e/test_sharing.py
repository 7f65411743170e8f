"""Several owners on one device: equal names, taken ports, foreign containers."""

from tests.using_lab.cluster import Cluster
from tests.using_lab.devices import Container, Device
from tests.using_lab.fleets import Fleet
from tests.using_lab.images import Images
from tests.using_lab.manifests import NAMESPACE, OTHER_NAMESPACE, deployment, service

PORT = 18180
Devices = tuple[Device, ...]


def test_two_deployments_on_one_device_live_and_end_apart(
    fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    device, *_ = devices
    selector = fleet.label("shared", device)
    fleet.apply(deployment("left", service("page", images.v1, port=PORT), on=selector))
    fleet.apply(deployment("right", service("page", images.v2, port=PORT + 1), on=selector))
    cluster.await_aggregate("left", matched=1, running=1)
    cluster.await_aggregate("right", matched=1, running=1)
    right = device.containers("right")

    fleet.delete("left")

    assert device.remains(["left"]) == []
    assert device.containers("right") == right
    assert images.v2_says in device.page(PORT + 1)


def test_the_same_name_in_two_namespaces_belongs_to_one_and_passes_on_when_that_goes(
    fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    one, two, _ = devices
    first, second = fleet.label("shared", one), {"e2e-second": "shared"}
    cluster.kubectl("label", "fleetdev", two.id, "e2e-second=shared", "--overwrite")
    fleet.apply(deployment("kiosk", service("page", images.v1, port=PORT), on=first))
    cluster.await_aggregate("kiosk", matched=1, running=1)

    late = deployment(
        "kiosk", service("page", images.v2, port=PORT), on=second, namespace=OTHER_NAMESPACE
    )
    fleet.apply(late)

    refusal = cluster.await_condition(
        "fleetdep", "kiosk", "Accepted", "False", reason="NameConflict", namespace=OTHER_NAMESPACE
    )
    assert NAMESPACE in refusal["message"]
    cluster.await_aggregate("kiosk", OTHER_NAMESPACE)
    assert cluster.row("fleetdep", "kiosk", OTHER_NAMESPACE)["REASON"] == "NameConflict"
    assert two.remains(["kiosk"]) == []
    cluster.await_aggregate("kiosk", matched=1, running=1)

    fleet.delete("kiosk")

    cluster.await_aggregate("kiosk", OTHER_NAMESPACE, matched=1, running=1)
    two.await_page(PORT, images.v2_says)
    one.await_containers(of="kiosk")
    cluster.kubectl("label", "fleetdev", two.id, "e2e-second-")


def test_a_taken_port_fails_the_newcomer_until_it_is_free(
    fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    device, *_ = devices
    selector = fleet.label("shared", device)
    fleet.apply(deployment("holder", service("page", images.v1, port=PORT), on=selector))
    cluster.await_aggregate("holder", matched=1, running=1)
    holder = device.containers("holder")

    fleet.apply(deployment("newcomer", service("page", images.v2, port=PORT), on=selector))

    cluster.await_aggregate("newcomer", matched=1, failed=1)
    assert cluster.row("fleetdep", "newcomer")["REASON"] == "PortInUse"
    error = cluster.get("fleetdep", "newcomer")["status"]["aggregate"]["lastError"]
    assert str(PORT) in error["message"]
    assert device.containers("holder") == holder
    assert images.v1_says in device.page(PORT)

    fleet.delete("holder")

    cluster.await_aggregate("newcomer", matched=1, running=1, within=90)
    device.await_page(PORT, images.v2_says)


def test_a_foreign_container_is_never_touched(
    fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    device, *_ = devices
    selector = fleet.label("shared", device)
    device.podman("run", "--detach", "--name=mine", "--network=none", images.v1)
    try:
        before = _foreign(device)
        fleet.apply(deployment("kiosk", service("page", images.v1, port=PORT), on=selector))
        cluster.await_aggregate("kiosk", matched=1, running=1)
        fleet.apply(deployment("kiosk", service("page", images.v2, port=PORT), on=selector))
        device.await_page(PORT, images.v2_says)
        fleet.delete("kiosk")

        assert _foreign(device) == before
    finally:
        device.podman("rm", "--force", "--time=0", "mine")


def test_a_foreign_container_that_holds_our_name_is_left_and_named_as_the_reason(
    fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    device, *_ = devices
    selector = fleet.label("shared", device)
    device.podman("run", "--detach", "--name=fleet.kiosk.page", "--network=none", images.v1)
    try:
        before = device.inspect("fleet.kiosk.page")
        fleet.apply(deployment("kiosk", service("page", images.v1, port=PORT), on=selector))

        cluster.await_aggregate("kiosk", matched=1, failed=1)
        assert cluster.row("fleetdep", "kiosk")["REASON"] == "NameTaken"
        assert device.inspect("fleet.kiosk.page")["Id"] == before["Id"]
        assert device.inspect("fleet.kiosk.page")["State"]["Running"]
    finally:
        device.podman("rm", "--force", "--time=0", "fleet.kiosk.page")


def test_a_foreign_container_without_labels_of_ours_survives_the_end_of_a_deployment_of_its_name(
    fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    device, *_ = devices
    selector = fleet.label("shared", device)
    fleet.apply(deployment("kiosk", service("page", images.v1, port=PORT), on=selector))
    cluster.await_aggregate("kiosk", matched=1, running=1)
    device.podman("run", "--detach", "--name=fleet.kiosk.other", "--network=none", images.v1)
    try:
        fleet.delete("kiosk")
        assert device.inspect("fleet.kiosk.other")["State"]["Running"]
    finally:
        device.podman("rm", "--force", "--time=0", "fleet.kiosk.other")


def _foreign(device: Device) -> Container:
    found = device.inspect("mine")
    assert found["State"]["Running"]
    return Container("mine", found["Id"], found["State"]["StartedAt"])
