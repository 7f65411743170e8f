"""`procedure.restore`: what doesn't fit touches nothing; stores first, then machines."""

import json
from pathlib import Path

import msgspec
import pytest

from fleet import errors
from lab.errors import LabError, NothingThere, PreflightFailed, SnapshotMismatch, WaitTimedOut
from lab.snapshots import procedure
from lab.snapshots.archive import Archive
from tests.unit.lab.snapshots.pretend_site import BOOT, KEY, PretendSite

ORDER = [
    "end vm-01", "stop dev-01", "stop operator", "stop etcd", "put back state", "raise the ground",
    "restore vm-01", "wake vm-01", "rebuild dev-01", "raise all", "hear",
]  # fmt: skip


@pytest.fixture(autouse=True)
def taken(site: PretendSite, shelf: Archive) -> Path:
    """A snapshot, and a lab that was broken since."""
    place = procedure.take(site, shelf, "default", "x", lambda _: None).snapshot.places.root
    site.store.content = "broken"
    site.machine.boot, site.machine.state = "boot-2", "off"
    site.operator.runs = False
    site.events.done.clear()
    return place


def restore(site: PretendSite, shelf: Archive) -> procedure.Result:
    return procedure.restore(site, shelf, "default", lambda _: None)


def test_all_is_ended_then_stores_come_then_machines_then_host_devices(
    site: PretendSite, shelf: Archive
):
    restore(site, shelf)
    assert site.events.done == ORDER


def test_a_broken_lab_is_as_it_was(site: PretendSite, shelf: Archive):
    done = restore(site, shelf)
    assert site.goes_on
    assert site.store.content == "as it was"
    assert site.machine.boot == BOOT
    assert set(done.heard) == {"vm-01", "dev-01"}


def test_a_snapshot_can_be_restored_again_and_again(site: PretendSite, shelf: Archive):
    for _ in range(3):
        site.store.content = "broken again"
        restore(site, shelf)
        assert site.store.content == "as it was"


@pytest.mark.parametrize(
    ("aspect", "here"),
    [
        ("image", {"vm-01": "sha256 cccc"}),
        ("topology", {"vm-01": "vm x86_64", "dev-01": "host", "dev-02": "host"}),
        ("qemu", {"qemu-system-x86_64": "9.2.0 (sha256 dddd), tcg"}),
    ],
)
def test_a_snapshot_of_another_kind_is_refused_and_nothing_is_touched(
    site: PretendSite, shelf: Archive, aspect: str, here: dict[str, str]
):
    site.wanted = msgspec.structs.replace(KEY, **{aspect: here})
    with pytest.raises(SnapshotMismatch, match=f"is of another {aspect}:") as told:
        restore(site, shelf)
    said = str(told.value)
    for part in here.keys() - getattr(KEY, aspect).keys():
        assert f"{part}: the snapshot has nothing, here is {here[part]}" in said
    for part in here.keys() & getattr(KEY, aspect).keys():
        had = getattr(KEY, aspect)[part]
        assert had == here[part] or f"{part}: the snapshot has {had}, here is {here[part]}" in said
    assert told.value.exit_code == 6
    assert "lab.snapshot" in told.value.hint
    assert site.events.done == []


def test_all_that_differs_is_told_at_once(site: PretendSite, shelf: Archive):
    site.wanted = msgspec.structs.replace(KEY, image={"vm-01": "other"}, qemu={})
    with pytest.raises(SnapshotMismatch, match="of another image and qemu") as told:
        restore(site, shelf)
    assert "topology" not in str(told.value)


def test_the_manifest_of_another_qemu_is_refused(site: PretendSite, shelf: Archive, taken: Path):
    manifest = json.loads((taken / "manifest.json").read_text())
    manifest["key"]["qemu"]["qemu-system-x86_64"] = "6.0.0 (sha256 eeee), tcg"
    (taken / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SnapshotMismatch, match=r"the snapshot has 6\.0\.0 .* here is 7\.2\.22"):
        restore(site, shelf)
    assert site.events.done == []


def test_half_a_snapshot_is_refused(site: PretendSite, shelf: Archive, taken: Path):
    (taken / "manifest.json").unlink()
    with pytest.raises(NothingThere, match="never finished"):
        restore(site, shelf)
    assert site.events.done == []
    assert shelf.names() == ()


def test_a_draft_is_no_snapshot_and_is_collected_by_the_next_that_is_taken(
    site: PretendSite, shelf: Archive
):
    shelf.begin("other")
    with pytest.raises(NothingThere, match="other was never finished"):
        shelf.find("other")
    procedure.take(PretendSite(), shelf, "third", "x", lambda _: None)
    assert sorted(path.name for path in shelf.home.iterdir()) == ["default", "third"]


def test_the_one_before_counts_when_publishing_was_killed_between_its_two_renames(
    site: PretendSite, shelf: Archive, taken: Path
):
    shelf.begin("default")
    taken.rename(taken.with_name(".default.old"))
    restore(site, shelf)
    assert site.store.content == "as it was"


@pytest.mark.parametrize(
    ("edit", "said"),
    [({"format": 99}, "format 99; this version of Fleet reads 1"), ({"key": 3}, "can't be read")],
)
def test_a_manifest_that_is_not_understood_is_refused(
    site: PretendSite, shelf: Archive, taken: Path, edit: dict[str, object], said: str
):
    manifest = {**json.loads((taken / "manifest.json").read_text()), **edit}
    (taken / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(LabError, match=said):
        restore(site, shelf)
    assert site.events.done == []


def test_nothing_is_touched_where_the_disk_has_not_the_room(
    site: PretendSite, shelf: Archive, taken: Path
):
    with pytest.raises(PreflightFailed, match=r"lab.reset to default needs \d+ MiB"):
        procedure.check(site, shelf, "default", room=lambda _: 1 << 20)
    assert site.events.done == []


def test_a_guest_that_started_anew_is_refused(site: PretendSite, shelf: Archive, taken: Path):
    (taken / "machines" / "vm-01" / "memory").write_text("boot-3")
    with pytest.raises(LabError, match=r"started anew: its boot is boot-3, the snapshot's boot-1"):
        restore(site, shelf)


@pytest.mark.parametrize("step", ORDER)
@pytest.mark.parametrize("why", [LabError("no luck"), errors.HypervisorRefused("no luck")])
def test_a_restore_that_failed_says_what_begins_again_and_then_goes_through(
    site: PretendSite, shelf: Archive, step: str, why: errors.FleetError
):
    site.events.failing[step] = why
    with pytest.raises(LabError, match="no luck") as told:
        restore(site, shelf)
    assert "lab.reset begins again" in told.value.hint
    site.events.failing.clear()
    restore(site, shelf)
    assert site.goes_on
    assert site.machine.boot == BOOT


def test_a_device_that_is_not_heard_is_named(site: PretendSite, shelf: Archive):
    site.silent = ("vm-01",)
    with pytest.raises(WaitTimedOut, match="not heard: vm-01"):
        restore(site, shelf)
