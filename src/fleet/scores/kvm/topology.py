"""A hypervisor as a topology: a Linux machine, and its libvirt."""

from dataclasses import dataclass

from fleet.scores.kvm.hypervisor import Hypervisor
from fleet.scores.linux.machine import Machine


@dataclass(frozen=True)
class KvmHostTopology:
    """
    A machine that runs virtual ones. It has `capabilities.RunsCommands` and `HasLibvirt`.

    `promotion.promote` makes one of a machine; whoever has a libvirt already just names it.
    """

    machine: Machine
    hypervisor: Hypervisor
