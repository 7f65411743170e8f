"""Takes a lab down: undoes what the ledger says is ours, newest first, then deletes its state."""

import shutil
from collections.abc import Callable, Mapping

from lab.devices import host as devices
from lab.devices.vm import removal as machines
from lab.host import cgroups, labs, ledger, mounts, network, processes
from lab.host.lab_host import LabHost
from lab.host.ledger import Entry, Kind, Left

UNDOERS: Mapping[Kind, Callable[[Entry], None]] = {
    Kind.PROCESS: processes.stop,
    Kind.NAMESPACE: network.undo_namespaces,
    Kind.LINK: network.undo_link,
    Kind.MOUNT: mounts.undo_mount,
    Kind.FIREWALL: network.undo_firewall,
    Kind.SYSCTL: mounts.undo_sysctl,
    Kind.DIRECTORY: mounts.undo_directory,
    Kind.CGROUP: cgroups.undo,
    Kind.CONTAINERS: devices.undo_containers,
    Kind.DOMAIN: machines.undo_domain,
}


def undo_all(host: LabHost, telling: Callable[[Entry], None]) -> tuple[Left, ...]:
    """
    Undo everything, and return what could not be undone.

    Only when nothing is left do the addresses become free and the state go. The logs stay.
    """
    left = ledger.undo(host.ledger, UNDOERS, telling=telling)
    if not left:
        for path in host.state.iterdir():
            if path != host.logs and path.name != "lab.json":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        labs.forget(host.name)
    return left
