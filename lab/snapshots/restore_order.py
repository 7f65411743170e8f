"""
The order in which a snapshot is restored. Decides only.

Everything that could say or write something is ended first. Then the stores: a machine that wakes
up goes on talking to a hub that knows just what it said last. Host devices come last: their
containers are made anew, of what their agents remember.
"""

from collections.abc import Callable, Iterator
from functools import partial

from lab.snapshots.archive import Places, Snapshot
from lab.snapshots.port import Machine, Site
from lab.snapshots.steps import Step

LAB = "lab"


def stores(site: Site, kept: Places) -> Iterator[Step]:
    """Yield what ends everything, puts the stores back, and lets the services run on them."""
    for machine in site.machines:
        yield Step(machine.name, "ending", machine.end)
    for journal in site.journals:
        yield Step(journal.name, "stopping the agent", journal.stop)
    for service in site.services:
        yield Step(service.name, "stopping", service.stop)
    for store in site.stores:
        yield Step(store.name, "putting back", partial(store.put_back, kept.store(store.name)))
    yield Step(LAB, "starting the services", site.raise_ground)


def devices(site: Site, snapshot: Snapshot, wake: Callable[[Machine, str], None]) -> Iterator[Step]:
    """Yield what brings the devices back, and all that is left to be brought about."""
    kept = snapshot.places
    for machine in site.machines:
        yield Step(machine.name, "restoring", partial(machine.restore, kept.machine(machine.name)))
    for machine in site.machines:
        boot = snapshot.manifest.boots[machine.name]
        yield Step(machine.name, "waking up", partial(wake, machine, boot))
    for journal in site.journals:
        act = partial(journal.rebuild, kept.journal(journal.name))
        yield Step(journal.name, "rebuilding", act)
    yield Step(LAB, "checking everything", site.raise_all)
