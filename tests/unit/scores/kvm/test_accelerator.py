"""Accelerators by trial: KVM is believed once a kernel has come to its end under it."""

from pathlib import Path

import pytest

from fleet.scores.kvm import accelerator
from fleet.scores.kvm.domains import Accelerator
from fleet.scores.linux.architecture import Arch
from fleet.scores.linux.machine import Answer
from tests.unit.scores.kvm.machines import Told

KERNEL = Path("/vmlinuz")
ENDED = b"Linux version 6.1\nKernel panic - not syncing: VFS: Unable to mount root fs\n"


def choose(trial: Answer, *, arch: Arch = Arch.X86_64, device: int = 0) -> accelerator.Choice:
    host = Told({"uname": Answer(0, b"x86_64\n"), "test -c": Answer(device), "timeout": trial})
    return accelerator.choose(arch, KERNEL, machine=host)


def test_a_kernel_that_came_to_its_end_speaks_for_kvm():
    assert choose(Answer(0, ENDED)).accelerator is Accelerator.KVM


@pytest.mark.parametrize(
    ("trial", "reason"),
    [
        (Answer(137, b"Linux version 6.1\n"), "one line in 20 s, the last 'Linux version 6.1'"),
        (Answer(-9, b""), "0 lines in 20 s"),
        (Answer(-6, b"", b"qemu: error: failed to set MSR 0x10a\n"), "failed to set MSR 0x10a"),
        (Answer(127), "QEMU is not installed"),
        (Answer(0, b"Linux version 6.1\n"), "ended under KVM with 0"),
    ],
    ids=["hangs", "says-nothing", "aborts", "no-qemu", "gives-up"],
)
def test_anything_else_is_emulated_and_says_why(trial: Answer, reason: str):
    choice = choose(trial)
    assert choice.accelerator is Accelerator.TCG
    assert reason in choice.reason


def test_nothing_is_tried_without_the_device():
    assert "has no /dev/kvm" in choose(Answer(0, ENDED), device=1).reason


def test_another_architecture_is_always_emulated():
    choice = choose(Answer(0, ENDED), arch=Arch.AARCH64)
    assert choice.accelerator is Accelerator.TCG
    assert "not the architecture" in choice.reason
