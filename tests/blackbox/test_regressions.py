"""
What other fleet managers got wrong, and users told them: the list (a) to (l).

Each test carries its letter. (c) and (l) are in `tests/integration/agent`, (f) is in `test_faults`.
One absence of two devices serves many of the rest: silence takes its half minute only once.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.blackbox import stand_in
from tests.blackbox.conftest import Join
from tests.using_lab.cluster import Cluster
from tests.using_lab.devices import Container, Device
from tests.using_lab.fleets import Fleet
from tests.using_lab.images import Images
from tests.using_lab.labs import Lab
from tests.using_lab.manifests import NAMESPACE, deployment, service
from tests.using_lab.waiting import eventually, steadily

PORT = 18280
STALE_WITHIN = 90  # 12 s of silence, and what the operator takes to look
BACK_WITHIN = 120  # reconnecting backs off, with jitter
IMAGE = "registry.invalid/page:v1"
Devices = tuple[Device, ...]
Containers = dict[str, Container]


def test_a_device_moves_between_deployments_of_the_same_content__a(
    fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    device, *_ = devices
    same = service("page", images.v1, port=PORT)
    fleet.apply(deployment("left", same, on={"e2e": "left"}))
    fleet.apply(deployment("right", same, on={"e2e": "right"}))
    fleet.label("left", device)
    cluster.await_aggregate("left", matched=1, running=1)

    fleet.label("right", device)

    cluster.await_aggregate("left")
    cluster.await_aggregate("right", matched=1, running=1, within=90)
    assert set(device.containers("left", "right")) == {"fleet.right.page"}


@dataclass
class Absence:
    """What was seen while *away* and *given_up* were unplugged, and after."""

    before: Containers
    during: Containers
    after: Containers
    revived: str
    here_was_updated: bool
    away_counted: dict[str, int]
    deletion_ended: bool
    device_gone: bool
    left_of_given_up: list[str]
    left_of_deleted: list[str]


@pytest.fixture(scope="module")
def absence(lab: Lab, cluster: Cluster, devices: Devices, images: Images) -> Iterator[Absence]:
    """Unplug two devices, change what they run, give one of them up, and plug them in again."""
    away, here, given_up = devices
    fleet = Fleet(cluster, devices)
    selector = fleet.label("far", away, here)
    for port, name in enumerate(("updated", "deleted", "kept", "killed"), PORT):
        fleet.apply(deployment(name, service("page", images.v1, port=port), on=selector))
    fleet.apply(deployment("left", service("page", images.v1), on=fleet.label("left", given_up)))
    for name in ("updated", "deleted", "kept", "killed"):
        cluster.await_aggregate(name, matched=2, running=2)
    cluster.await_aggregate("left", matched=1, running=1)
    before = away.containers("updated", "deleted", "kept")
    with _unplugged(lab, away, given_up):
        away.podman("kill", "fleet.killed.page")
        cluster.await_condition("fleetdev", away.id, "Stale", "True", within=STALE_WITHIN)
        cluster.await_condition("fleetdev", given_up.id, "Stale", "True", within=STALE_WITHIN)
        cluster.kubectl("delete", "fleetdev", given_up.id, "--timeout=60s")
        device_gone = given_up.id not in cluster.names("fleetdev")
        fleet.apply(deployment("updated", service("page", images.v2, port=PORT), on=selector))
        here.await_page(PORT, images.v2_says)
        cluster.await_aggregate("updated", matched=2, running=1, unknown=1)
        counted = cluster.aggregate("kept")
        fleet.delete("deleted")
        deletion_ended = "deleted" not in cluster.names("fleetdep", "-n", NAMESPACE)
        revived = away.await_containers("fleet.killed.page", of="killed")["fleet.killed.page"].id
        during = away.containers("updated", "deleted", "kept")
    for device in (away, given_up):
        cluster.await_condition("fleetdev", device.id, "Ready", "True", within=BACK_WITHIN)
    away.await_page(PORT, images.v2_says, within=BACK_WITHIN)
    away.await_containers(of="deleted")
    given_up.await_containers(of="left")
    for name in ("updated", "kept", "killed"):
        cluster.await_aggregate(name, matched=2, running=2)
    yield Absence(
        before=before,
        during=during,
        after=away.containers("updated", "deleted", "kept"),
        revived=revived,
        here_was_updated=True,
        away_counted=counted,
        deletion_ended=deletion_ended,
        device_gone=device_gone,
        left_of_given_up=given_up.remains(["left"]),
        left_of_deleted=away.remains(["deleted"]),
    )
    fleet.tidy()


def test_one_device_offline_blocks_no_other__b(absence: Absence):
    assert absence.here_was_updated
    assert absence.away_counted == {
        "matched": 2, "pending": 0, "running": 1, "failed": 0, "unknown": 1
    }  # fmt: skip


def test_a_device_offline_keeps_what_it_runs_and_revives_what_dies(absence: Absence):
    assert len(absence.before) == 3
    assert absence.during == absence.before
    assert absence.revived


def test_reconnecting_recreates_no_running_container__d(absence: Absence):
    assert absence.after["fleet.kept.page"] == absence.before["fleet.kept.page"]


def test_what_was_deleted_while_a_device_was_offline_goes_when_it_is_back__g(absence: Absence):
    assert absence.left_of_deleted == []


def test_a_deletion_ends_although_a_device_is_out_of_reach__j(absence: Absence):
    assert absence.deletion_ended


def test_a_device_whose_object_was_deleted_meanwhile_loses_its_containers_when_it_is_back(
    absence: Absence,
):
    assert absence.device_gone
    assert absence.left_of_given_up == []


def test_a_device_that_comes_back_beside_its_own_stale_session_is_the_one_that_counts__e(
    join: Join, fleet: Fleet, cluster: Cluster
):
    stale = join()
    stale.silent = True
    stale.answer_with(stand_in.mute)
    back = join(device_id=stale.id)

    fleet.apply(deployment("kiosk", service("page", IMAGE), on={"make": back.id}))

    cluster.await_aggregate("kiosk", matched=1, running=1)
    assert cluster.condition("fleetdev", back.id, "Ready")["status"] == "True"
    assert "kiosk" in back.desired


def test_a_device_that_comes_mid_rollout_gets_the_new_version_at_once__h(
    join: Join, fleet: Fleet, cluster: Cluster
):
    slow = join({"ring": "one"})
    fleet.apply(deployment("kiosk", service("page", IMAGE), on={"ring": "one"}))
    cluster.await_aggregate("kiosk", matched=1, running=1)
    slow.answer_with(stand_in.mute)
    new = service("page", IMAGE, args=["--new"])
    fleet.apply(deployment("kiosk", new, on={"ring": "one"}))
    cluster.await_aggregate("kiosk", matched=1, pending=1)

    late = join({"ring": "one"})

    cluster.await_aggregate("kiosk", matched=2, pending=1, running=1)
    assert late.desired["kiosk"]["data"] == {"services": [new]}
    slow.answer_with(stand_in.running)
    cluster.await_aggregate("kiosk", matched=2, running=2)


def test_a_selector_that_matches_nothing_says_so__i(
    fleet: Fleet, cluster: Cluster, devices: Devices
):
    fleet.apply(deployment("kiosk", service("page", IMAGE), on={"e2e": "nobody"}))

    cluster.await_aggregate("kiosk")
    found = f"matches 0 of {len(devices)} devices"
    conditions = cluster.get("fleetdep", "kiosk")["status"]["conditions"]
    assert [each for each in conditions if found in each.get("message", "")], conditions
    assert cluster.row("fleetdep", "kiosk")["READY"] == "0/0"


def test_a_version_that_fails_says_so_and_is_ended_by_a_new_one__k(
    fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    device, *_ = devices
    selector = fleet.label("kiosk", device)
    falls = service("page", images.v1, command=["false"])
    fleet.apply(deployment("kiosk", falls, on=selector))
    cluster.await_aggregate("kiosk", matched=1, failed=1)
    assert cluster.row("fleetdep", "kiosk")["REASON"] == "CrashLoop"

    def look() -> None:
        assert cluster.aggregate("kiosk")["failed"] == 1

    steadily(look, lasting=5, every=1)
    fleet.apply(deployment("kiosk", service("page", images.v1, port=PORT), on=selector))

    cluster.await_aggregate("kiosk", matched=1, running=1)
    device.await_page(PORT, images.v1_says)


@contextlib.contextmanager
def _unplugged(lab: Lab, *devices: Device) -> Iterator[None]:
    try:
        for device in devices:
            lab.unplug(device.id)
            _await_reach(lab, device, expected=False)
        yield
    finally:
        for device in devices:
            lab.plug(device.id)
    for device in devices:
        _await_reach(lab, device, expected=True)


def _await_reach(lab: Lab, device: Device, *, expected: bool) -> None:
    host, port = lab.status()["registry"]["address"].rsplit(":", 1)

    def look() -> None:
        assert device.reaches(host, int(port)) is expected

    look.__doc__ = f"{device.id} {'reaches' if expected else 'does not reach'} the registry"
    eventually(look, within=30)
