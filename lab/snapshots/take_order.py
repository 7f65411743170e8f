"""
The order in which a snapshot is taken. Decides only.

Machines are paused first, so that no guest waits for a hub that is gone. With every service stopped
the stores lie still, and are copied. Then the machines are saved: what they last said to the hub is
in its stores, and what they haven't said yet is in their memory.
"""

from collections.abc import Iterator
from functools import partial

from lab.snapshots.archive import Places
from lab.snapshots.port import Site
from lab.snapshots.steps import Step


def steps(site: Site, into: Places) -> Iterator[Step]:
    """Yield what puts all of *site* into *into*. Afterwards no service and no machine runs."""
    for machine in site.machines:
        yield Step(machine.name, "pausing", machine.pause)
    for service in site.services:
        yield Step(service.name, "stopping", service.stop)
    for store in site.stores:
        yield Step(store.name, "copying", partial(store.copy, into.store(store.name)))
    for journal in site.journals:
        yield Step(journal.name, "copying", partial(journal.copy, into.journal(journal.name)))
    for machine in site.machines:
        yield Step(machine.name, "saving", partial(machine.save, into.machine(machine.name)))


def going_on(site: Site, saved: Places) -> Iterator[Step]:
    """Yield what lets each machine run again, from wherever taking the snapshot left it."""
    for machine in site.machines:
        act = partial(machine.go_on, saved.machine(machine.name))
        yield Step(machine.name, "going on", act)


def waking(site: Site) -> Iterator[Step]:
    """Yield what tells each machine that it slept."""
    for machine in site.machines:
        yield Step(machine.name, "waking up", machine.wake)
