"""
Takes and restores snapshots of a whole lab.

Whatever happens while one is taken, the lab goes on: what was paused or stopped runs again, and
what was begun of the snapshot is removed. Before one is restored it is checked against what is
here, and nothing is touched where it doesn't fit. A restore that was interrupted is begun again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fleet import errors
from lab.errors import LabError
from lab.snapshots import archive, keys, restore_order, steps, take_order
from lab.snapshots.archive import Archive, Manifest, Part, Places, Snapshot
from lab.snapshots.port import Machine, Site
from lab.snapshots.steps import Step, Took
from lab.system import copying

Telling = Callable[[str], None]

_AGAIN = "invoke lab.reset begins again"
_REPAIR = "invoke lab.up repairs the lab"


@dataclass(frozen=True, slots=True)
class Result:
    """What was done: the snapshot, what took how long, and when each device was last heard."""

    snapshot: Snapshot
    took: tuple[Took, ...]
    heard: Mapping[str, datetime]


def take(site: Site, shelf: Archive, name: str, lab: str, telling: Telling) -> Result:
    """
    Take the snapshot *name* of *site*, called *lab*, and let everything go on.

    :raises LabError: the lab isn't well, or a step failed.
    :raises PreflightFailed: the disk hasn't the room.
    """
    archive.require_name(name)
    telling(f"{lab}: checking that all is well")
    site.require_well()
    shelf.collect()
    sizes = (
        *(store.size() for store in site.stores),
        *(journal.size() for journal in site.journals),
        *(machine.size() for machine in site.machines),
    )
    copying.require_room(shelf.home.parent, sizes, f"snapshot {name}")
    boots = {machine.name: machine.boot_id() for machine in site.machines}
    into = shelf.begin(name)
    try:
        took = steps.walk(take_order.steps(site, into), telling)
        parts = tuple(_parts(site, into, steps.by_part(took)))
        manifest = Manifest(
            format=archive.FORMAT, name=name, lab=lab, taken_at=datetime.now(UTC), key=site.key(),
            boots=boots, parts=parts,
        )  # fmt: skip
        snapshot = shelf.publish(manifest)
    except BaseException as exc:
        try:
            _give_up(site, into, exc, telling)
        finally:
            shelf.abandon(name)
        raise
    try:
        went_on, heard = _go_on(site, snapshot.places, telling)
    except errors.FleetError as exc:
        message = f"snapshot {name} is whole, but the lab didn't go on: {exc}"
        raise LabError(message, hint=f"{_REPAIR}; invoke lab.reset goes back to it") from exc
    return Result(snapshot, (*took, *went_on), heard)


def restore(site: Site, shelf: Archive, name: str, telling: Telling) -> Result:
    """
    Bring *site* back to its snapshot *name*.

    :raises NothingThere: there is no such snapshot, or it was never finished.
    :raises SnapshotMismatch: it is of other images, another topology or another QEMU.
    :raises PreflightFailed: the disk hasn't the room.
    :raises WaitTimedOut: a device was not heard afterwards.
    """
    snapshot = check(site, shelf, name)
    try:
        took = steps.walk(restore_order.stores(site, snapshot.places), telling)
        since = datetime.now(UTC)
        took += steps.walk(restore_order.devices(site, snapshot, _wake), telling)
        heard, waited = _hear(site, since, telling)
    except LabError as exc:
        exc.hint = f"{exc.hint}; {_AGAIN}" if exc.hint else _AGAIN
        raise
    except errors.FleetError as exc:
        raise LabError(str(exc), element=exc.element, hint=_AGAIN) from exc
    return Result(snapshot, (*took, *waited), heard)


def check(
    site: Site, shelf: Archive, name: str, room: Callable[[Path], int] = copying.free
) -> Snapshot:
    """Return the snapshot *name* if it fits; raises as `restore` does, and touches nothing."""
    snapshot = shelf.find(name)
    keys.require_same(name, snapshot.manifest.key, site.key())
    kept = snapshot.places
    copied = (
        *(kept.store(store.name) for store in site.stores),
        *(kept.journal(journal.name) for journal in site.journals),
        *(kept.machine(machine.name) for machine in site.machines),
    )
    copying.require_room(shelf.home, map(copying.allocated, copied), f"lab.reset to {name}", room)
    return snapshot


def _give_up(site: Site, into: Places, why: BaseException, telling: Telling) -> None:
    """Let everything go on after *why*."""
    telling("giving up, and letting everything go on")
    try:
        _go_on(site, into, telling)
    except errors.FleetError as exc:
        message = f"{why or type(why).__name__}; and then the lab didn't go on: {exc}"
        raise LabError(message, hint=_REPAIR) from why


def _go_on(
    site: Site, saved: Places, telling: Telling
) -> tuple[tuple[Took, ...], Mapping[str, datetime]]:
    """Let every machine run, and then everything else, though a machine should fail to."""
    failed: list[errors.FleetError] = []
    took: list[Took] = []
    for step in take_order.going_on(site, saved):
        try:
            took += steps.walk((step,), telling)
        except errors.FleetError as exc:
            failed.append(exc)
    since = datetime.now(UTC)
    took += steps.walk((Step(restore_order.LAB, "starting everything", site.raise_all),), telling)
    took += steps.walk(take_order.waking(site), telling)
    heard, waited = _hear(site, since, telling)
    for first in failed:
        raise first
    return (*took, *waited), heard


def _hear(
    site: Site, since: datetime, telling: Telling
) -> tuple[Mapping[str, datetime], tuple[Took, ...]]:
    heard: dict[str, datetime] = {}
    step = Step(
        restore_order.LAB, "hearing the devices", lambda: heard.update(site.await_heard(since))
    )
    return heard, steps.walk((step,), telling)


def _wake(machine: Machine, wanted: str) -> None:
    """Wake *machine* up, and refuse a guest that has started anew instead of going on."""
    found = machine.wake()
    if found != wanted:
        message = f"{machine.name} has started anew: its boot is {found}, the snapshot's {wanted}"
        raise LabError(message, element=machine.name)


def _parts(site: Site, into: Places, seconds: Mapping[str, float]) -> list[Part]:
    places = {
        **{store.name: into.store(store.name) for store in site.stores},
        **{journal.name: into.journal(journal.name) for journal in site.journals},
        **{machine.name: into.machine(machine.name) for machine in site.machines},
    }
    return [
        Part(part=name, seconds=round(seconds.get(name, 0), 2), bytes=copying.allocated(place))
        for name, place in places.items()
    ]
