"""
How long each stage of a boot may take, by architecture and accelerator. Decides only.

Figures are those of a busy host, three times and more what was measured on a quiet one
(docs/benchmarks.md): a stage that takes longer hangs. Constants of taste, in seconds.
"""

import enum
from collections.abc import Mapping

from fleet.scores.kvm.domains import Accelerator
from fleet.scores.linux.architecture import Arch


class Step(enum.StrEnum):
    """The stages of a boot, in order. Each has its own budget, and its own evidence."""

    POWER = "power"
    KERNEL = "kernel"
    NETWORK = "network"
    SSH = "ssh"
    CLOUD_INIT = "cloud-init"
    AGENT = "agent"


_X86_64_TCG: Mapping[Step, float] = {
    Step.POWER: 30,
    Step.KERNEL: 60,
    Step.NETWORK: 150,
    Step.SSH: 150,
    Step.CLOUD_INIT: 300,
    Step.AGENT: 180,
}
_TIMES: Mapping[tuple[Arch, Accelerator], float] = {
    (Arch.X86_64, Accelerator.TCG): 1.0,
    (Arch.AARCH64, Accelerator.TCG): 2.0,
    (Arch.X86_64, Accelerator.KVM): 0.4,
    (Arch.AARCH64, Accelerator.KVM): 0.4,
}


def seconds(step: Step, arch: Arch, accelerator: Accelerator) -> float:
    """Return how many seconds *step* may take."""
    return _X86_64_TCG[step] * _TIMES[arch, accelerator]


def whole(arch: Arch, accelerator: Accelerator) -> float:
    """Return how many seconds a whole boot may take."""
    return sum(seconds(step, arch, accelerator) for step in Step)
