"""A device of another make takes part: it is asked for what matches it, and counted by its word."""

import pytest

from tests.blackbox import stand_in
from tests.blackbox.buckets import DESIRED, STATE, Buckets
from tests.blackbox.conftest import Join
from tests.using_lab.cluster import Cluster
from tests.using_lab.fleets import Fleet
from tests.using_lab.manifests import NAMESPACE, deployment, service
from tests.using_lab.waiting import eventually

IMAGE = "registry.invalid/page:v1"
PAGE = service("page", IMAGE)


def test_it_registers_with_its_labels_and_what_it_is(join: Join, cluster: Cluster):
    other = join({"site": "elsewhere"})

    row = cluster.row("fleetdev", other.id)
    device = cluster.get("fleetdev", other.id)

    assert (row["READY"], row["ARCH"]) == ("True", "riscv64")
    assert device["metadata"]["labels"].items() >= {"site": "elsewhere", "make": other.id}.items()
    assert device["status"]["inventory"]["hostname"] == other.id


def test_it_is_asked_for_what_matches_it_and_counted_by_its_word(
    join: Join, fleet: Fleet, cluster: Cluster
):
    one, two = join(), join()
    two.answer_with(stand_in.mute)
    on = {"make": one.id}
    fleet.apply(deployment("kiosk", PAGE, on=on))

    cluster.await_aggregate("kiosk", matched=1, running=1)
    wanted = one.desired["kiosk"]
    assert (wanted["type"], two.desired) == ("PodmanV0", {})
    assert wanted["data"] == {"services": [PAGE]}
    assert {key: wanted["owner"][key] for key in ("namespace", "name")} == {
        "namespace": NAMESPACE,
        "name": "kiosk",
    }


def test_its_failure_is_counted_named_and_over_when_it_says_so(
    join: Join, fleet: Fleet, cluster: Cluster
):
    other = join()
    other.answer_with(stand_in.failing("NoAbacus", "the beads are gone"))
    fleet.apply(deployment("kiosk", PAGE, on={"make": other.id}))

    cluster.await_aggregate("kiosk", matched=1, failed=1)
    aggregate = cluster.get("fleetdep", "kiosk")["status"]["aggregate"]
    assert aggregate["failing"] == [other.id]
    assert aggregate["lastError"]["deviceId"] == other.id
    assert aggregate["lastError"]["reason"] == "NoAbacus"
    assert "the beads are gone" in aggregate["lastError"]["message"]
    assert cluster.row("fleetdep", "kiosk")["REASON"] == "NoAbacus"

    other.answer_with(stand_in.running)

    cluster.await_aggregate("kiosk", matched=1, running=1)
    aggregate = cluster.get("fleetdep", "kiosk")["status"]["aggregate"]
    assert not aggregate.get("failing")
    assert not aggregate.get("lastError")


def test_a_state_of_an_older_revision_is_pending(join: Join, fleet: Fleet, cluster: Cluster):
    other = join()
    fleet.apply(deployment("kiosk", PAGE, on={"make": other.id}))
    cluster.await_aggregate("kiosk", matched=1, running=1)
    first = other.desired["kiosk"]
    other.answer_with(lambda *_: stand_in.running("kiosk", first))

    fleet.apply(deployment("kiosk", service("page", IMAGE, args=["--new"]), on={"make": other.id}))

    cluster.await_aggregate("kiosk", matched=1, pending=1)
    assert other.desired["kiosk"]["revision"] != first["revision"]
    assert other.desired["kiosk"]["owner"]["generation"] > first["owner"]["generation"]


def test_what_it_no_longer_matches_is_taken_back_by_a_marker_and_swept(
    join: Join, fleet: Fleet, cluster: Cluster, buckets: Buckets
):
    other = join()
    fleet.apply(deployment("kiosk", PAGE, on={"make": other.id}))
    cluster.await_aggregate("kiosk", matched=1, running=1)

    cluster.kubectl("delete", "fleetdep", "kiosk", "-n", NAMESPACE, "--timeout=60s")

    assert other.markers == {"kiosk"}
    assert other.desired == {}
    _await_swept(buckets, other.id)


@pytest.mark.parametrize("phase", ["Dancing", "", 7, None, ["Running"]], ids=str)
def test_a_phase_that_nobody_knows_is_no_state(
    phase: object, join: Join, fleet: Fleet, cluster: Cluster, buckets: Buckets
):
    other = join()
    other.answer_with(lambda _, wanted: {"phase": phase, "revision": wanted["revision"]})
    fleet.apply(deployment("kiosk", PAGE, on={"make": other.id}))

    def look() -> None:
        """the stand-in has spoken, and counts as pending"""
        assert buckets.get(STATE, f"state.{other.id}.kiosk")
        cluster.await_aggregate("kiosk", matched=1, pending=1)

    eventually(look, within=30)
    other.answer_with(stand_in.running)
    cluster.await_aggregate("kiosk", matched=1, running=1)


def test_every_version_of_a_status_sums_up_while_devices_change_their_minds(
    join: Join, fleet: Fleet, cluster: Cluster, sums
):
    others = [join({"shift": "night"}) for _ in range(3)]
    fleet.apply(deployment("kiosk", PAGE, on={"shift": "night"}))
    cluster.await_aggregate("kiosk", matched=3, running=3)
    seen = sums.seen

    for failed in (1, 2, 3, 0):
        for index, other in enumerate(others):
            fails = index < failed
            other.answer_with(stand_in.failing("Tired", "zzz") if fails else stand_in.running)
        cluster.await_aggregate("kiosk", matched=3, running=3 - failed, failed=failed)

    assert sums.seen >= seen + 4
    assert sums.broken == []


def _await_swept(buckets: Buckets, device: str) -> None:
    def look() -> None:
        """what was wanted of the device is swept, marker and all"""
        assert buckets.keys(DESIRED, device) == set()

    eventually(look, within=30)
