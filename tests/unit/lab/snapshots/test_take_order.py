"""`lab.snapshots.procedure.take`: one order, and whatever happens, the lab goes on."""

import pytest

from fleet import errors
from lab.errors import LabError, NothingThere, PreflightFailed, TopologyInvalid, WaitTimedOut
from lab.snapshots import procedure
from lab.snapshots.archive import Archive
from tests.unit.lab.snapshots.pretend_site import BOOT, KEY, PretendSite, PretendStore

ORDER = [
    "pause vm-01", "stop operator", "stop etcd", "copy state", "copy dev-01", "save vm-01",
    "go on vm-01", "raise all", "wake vm-01", "hear",
]  # fmt: skip
UNTIL_SAVED = ORDER[: ORDER.index("go on vm-01")]


def take(site: PretendSite, shelf: Archive, name: str = "default") -> procedure.Result:
    return procedure.take(site, shelf, name, "x", lambda _: None)


def test_machines_are_paused_then_services_stopped_stores_copied_and_machines_saved(
    site: PretendSite, shelf: Archive
):
    take(site, shelf)
    assert site.events.done == ORDER


def test_the_lab_goes_on_in_the_boot_that_it_was_in(site: PretendSite, shelf: Archive):
    done = take(site, shelf)
    assert site.goes_on
    assert site.machine.boot == BOOT
    assert set(done.heard) == {"vm-01", "dev-01"}


def test_what_was_taken_can_be_found_with_its_key_and_the_boots_of_its_machines(
    site: PretendSite, shelf: Archive
):
    take(site, shelf)
    manifest = shelf.find("default").manifest
    assert (manifest.key, manifest.boots, manifest.lab) == (KEY, {"vm-01": BOOT}, "x")
    assert {part.part for part in manifest.parts} == {"state", "dev-01", "vm-01"}


@pytest.mark.parametrize("step", UNTIL_SAVED)
@pytest.mark.parametrize("why", [LabError("no such luck"), KeyboardInterrupt(), OSError("broken")])
def test_a_step_that_fails_leaves_a_lab_that_goes_on_and_no_snapshot(
    site: PretendSite, shelf: Archive, step: str, why: BaseException
):
    site.events.failing[step] = why
    with pytest.raises(type(why)):
        take(site, shelf)
    assert site.goes_on
    assert site.machine.boot == BOOT
    assert list(shelf.home.iterdir()) == []


@pytest.mark.parametrize("step", UNTIL_SAVED)
def test_a_step_that_fails_leaves_the_snapshot_before_as_it_was(
    site: PretendSite, shelf: Archive, step: str
):
    before = take(site, shelf).snapshot
    site.events.failing[step] = LabError("no such luck")
    with pytest.raises(LabError, match="no such luck"):
        take(site, shelf)
    assert shelf.find("default") == before


def test_a_lab_that_does_not_go_on_after_a_failure_is_told_with_both_reasons(
    site: PretendSite, shelf: Archive
):
    site.events.failing = {"copy state": LabError("disk full"), "raise all": LabError("no etcd")}
    with pytest.raises(
        LabError, match=r"disk full; and then the lab didn't go on: no etcd"
    ) as told:
        take(site, shelf)
    assert "lab.up" in told.value.hint
    assert site.machine.state == "running"


def test_a_machine_that_does_not_go_on_stops_nothing_else_and_is_told(
    site: PretendSite, shelf: Archive
):
    site.events.failing["go on vm-01"] = errors.HypervisorRefused("no memory")
    with pytest.raises(LabError, match=r"default is whole, but the lab didn't go on"):
        take(site, shelf)
    assert all(service.runs for service in site.services)
    assert shelf.names() == ("default",)


def test_a_device_that_is_not_heard_afterwards_is_told(site: PretendSite, shelf: Archive):
    site.silent = ("dev-01",)
    with pytest.raises(LabError, match=r"whole, but .* not heard: dev-01") as told:
        take(site, shelf)
    assert isinstance(told.value.__cause__, WaitTimedOut)


def test_nothing_is_taken_of_a_lab_that_is_not_well(site: PretendSite, shelf: Archive):
    site.ill = True
    with pytest.raises(LabError, match="the operator isn't running"):
        take(site, shelf)
    assert site.events.done == []


def test_nothing_is_touched_where_the_disk_has_not_the_room(site: PretendSite, shelf: Archive):
    class Huge(PretendStore):
        def size(self) -> int:
            return 1 << 60

    site.stores = (Huge("state", site.events, site.services),)
    with pytest.raises(
        PreflightFailed, match=r"snapshot default needs \d+ MiB .* \d+ MiB are free"
    ):
        take(site, shelf)
    assert site.events.done == []


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "A", "-a", "a-", "a b", "a\n", ".a.new", "a" * 33]
)
def test_what_is_no_name_is_refused_before_anything(site: PretendSite, shelf: Archive, name: str):
    with pytest.raises(TopologyInvalid, match="no name for a snapshot"):
        take(site, shelf, name)
    with pytest.raises(TopologyInvalid, match="no name for a snapshot"):
        procedure.restore(site, shelf, name, lambda _: None)
    assert site.events.done == []


def test_snapshots_of_several_names_lie_side_by_side(site: PretendSite, shelf: Archive):
    take(site, shelf, "before")
    take(site, shelf, "after")
    assert shelf.names() == ("after", "before")
    with pytest.raises(NothingThere, match="no snapshot between") as told:
        shelf.find("between")
    assert "after, before" in told.value.hint
