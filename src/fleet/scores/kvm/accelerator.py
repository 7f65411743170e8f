"""
Finds out by trial whether a host's KVM really runs guests.

``/dev/kvm`` can be a trap: it opens, and then QEMU aborts, or a kernel hangs after its first line.
So a kernel is booted under it, without a disk, until it gives up for want of one: that it does only
after all of its own start. A guest that a trial says no to is emulated, and the reason is told.

A trial takes a second or so where KVM works, and *within* seconds at worst. Whoever asks keeps the
answer: it holds for a kernel until the host boots again.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from fleet.scores.kvm.domains import Accelerator
from fleet.scores.linux.architecture import Arch
from fleet.scores.linux.local import LocalMachine
from fleet.scores.linux.machine import Answer, Machine

DEVICE = "/dev/kvm"
WITHIN = 20.0
MEMORY_MIB = 256
_NOT_FOUND = 127
_KILLED = (124, 137, -9)  # as `timeout` tells it, or the kernel
# What a kernel says that has started, and then finds no disk, or an init that ends at once.
_FINISHED = re.compile(rb"Kernel panic - not syncing: (VFS: |Attempted to kill init)")
_CONSOLES = {Arch.X86_64: "ttyS0", Arch.AARCH64: "ttyAMA0"}
_MACHINES = {Arch.X86_64: "pc", Arch.AARCH64: "virt"}


@dataclass(frozen=True, slots=True)
class Choice:
    """What guests of an architecture run by, and why."""

    accelerator: Accelerator
    reason: str


def choose(
    arch: Arch,
    kernel: Path,
    initrd: Path | None = None,
    *,
    machine: Machine | None = None,
    within: float = WITHIN,
) -> Choice:
    """
    Choose what guests of *arch* run by on *machine* (the one that we are on), by booting *kernel*.

    With *initrd*, a program of it is run besides: user space, too, can hang.

    :raises errors.MachineUnreachable: the machine doesn't answer.
    """
    host = machine or LocalMachine()
    why_not = _hindrance(host, arch)
    if not why_not:
        answer = try_out(arch, Accelerator.KVM, kernel, initrd, machine=host, within=within)
        why_not = _failure(answer, within)
    if why_not:
        return Choice(Accelerator.TCG, f"emulated: {why_not}")
    return Choice(Accelerator.KVM, f"{kernel.name} booted under KVM")


def try_out(
    arch: Arch,
    accelerator: Accelerator,
    kernel: Path,
    initrd: Path | None = None,
    *,
    machine: Machine,
    within: float = WITHIN,
) -> Answer:
    """Boot *kernel* on *machine* until it gives up, or *within* seconds have passed."""
    bounded = ("timeout", "--signal=KILL", f"{within:g}")
    # The margin is for a host that is slow to end what it was told to.
    return machine.ask(*bounded, *_command(arch, accelerator, kernel, initrd), within=within + 30)


def has_booted(answer: Answer) -> bool:
    """Tell whether the kernel of a trial came to the end of its own start."""
    return _FINISHED.search(answer.out) is not None


def _command(
    arch: Arch, accelerator: Accelerator, kernel: Path, initrd: Path | None
) -> tuple[str, ...]:
    cpu = {Accelerator.KVM: "host", Accelerator.TCG: "max"}[accelerator]
    # An init that ends is a panic, and a panic a reset, at which QEMU ends.
    words = f"console={_CONSOLES[arch]} panic=-1 rdinit=/bin/true"
    return (
        f"qemu-system-{arch}", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", _MACHINES[arch], "-accel", accelerator, "-cpu", cpu, "-m", str(MEMORY_MIB),
        "-serial", "stdio", "-kernel", str(kernel), "-append", words,
        *(("-initrd", str(initrd)) if initrd is not None else ()),
    )  # fmt: skip


def _hindrance(machine: Machine, arch: Arch) -> str:
    """Say what rules KVM out before any trial."""
    own = machine.ask("uname", "-m").text.strip()
    if own != arch:
        return f"{arch} is not the architecture of {machine.name}, {own}"
    if not machine.ask("test", "-c", DEVICE).ok:
        return f"{machine.name} has no {DEVICE}"
    return ""


def _failure(answer: Answer, within: float) -> str:
    """Say why a trial failed; nothing when it didn't."""
    if has_booted(answer):
        return ""
    if answer.code == _NOT_FOUND:
        return "QEMU is not installed, so nothing was tried"
    lines = [line.strip() for line in answer.text.splitlines() if line.strip()]
    if answer.code in _KILLED:
        last = f", the last {lines[-1]!r}" if lines else ""
        return f"under KVM the kernel said {_counted(lines)} in {within:g} s{last}"
    said = answer.err.decode(errors="replace").strip().splitlines()
    return f"QEMU ended under KVM with {answer.code}: {said[0] if said else 'without a word'}"


def _counted(lines: list[str]) -> str:
    return "one line" if len(lines) == 1 else f"{len(lines)} lines"
