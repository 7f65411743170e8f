"""Ends a machine of a lab: by libvirt where it answers, and by our own record where it doesn't."""

import contextlib
from pathlib import Path

from fleet import errors
from fleet.scores.kvm.libvirt import LibvirtHypervisor
from lab.host import processes
from lab.host.ledger import Entry
from lab.system import procfs


def undo_domain(entry: Entry) -> None:
    """Switch a machine off and forget it. Content when it is gone, or was never there."""
    with (
        contextlib.suppress(errors.HypervisorUnavailable),  # its QEMU is ended below
        LibvirtHypervisor.connect(entry.facts["uri"]) as hypervisor,
    ):
        forget(hypervisor, entry.facts["domain"])
    _end_qemu(Path(entry.facts["pid_file"]), entry.facts["domain"])


def forget(hypervisor: LibvirtHypervisor, name: str) -> None:
    """Switch the machine called *name* off, and undefine it; content when there is none."""
    found = hypervisor.find(name)
    if found is None:
        return
    if found.is_on:
        hypervisor.destroy(name)
    if hypervisor.find(name) is not None:  # one that somebody undefined while it ran is gone now
        hypervisor.undefine(name)


def _end_qemu(pid_file: Path, name: str) -> None:
    """End the QEMU that libvirt wrote down in the lab's own directory, if it is still that one."""
    try:
        pid = int(pid_file.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return
    who = procfs.identify(pid)
    if who is not None and f"guest={name},debug-threads=on".encode() in command:
        processes.end(who, f"QEMU of {name}", patience=5)
