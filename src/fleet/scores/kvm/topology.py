"""A hypervisor as a topology: a Linux machine, and its libvirt."""

from dataclasses import dataclass
from typing import Self

from fleet.scores.kvm.accelerator import Choice
from fleet.scores.kvm.hypervisor import Hypervisor
from fleet.scores.linux.machine import Machine


@dataclass(frozen=True)
class KvmHostTopology:
    """
    A machine that runs virtual ones. It has `capabilities.RunsCommands` and `HasLibvirt`.

    `LinuxHostTopology.promote` makes one of a machine; whoever has a libvirt already just names it.
    Leaving it by a `with` statement closes the connection to libvirt, and not that to the machine.
    """

    machine: Machine
    hypervisor: Hypervisor
    accelerator: Choice | None = None
    """what guests of its own architecture run by, and why; None where nobody tried"""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hypervisor.close()
