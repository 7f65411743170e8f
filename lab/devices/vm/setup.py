"""
Keeps a machine's set-up as it is wanted, over SSH: after the first boot, which sets it up itself.

Whether something has changed is seen by the digest of what was set up last, so that a lab that is
as wanted isn't logged in to. What its image lacks, because it is an older one, is lent to it.
"""

from contextlib import nullcontext
from dataclasses import dataclass

from fleet.scores.device import rendering
from fleet.scores.device.setup import FleetDeviceSetupScore
from fleet.scores.linux.machine import run
from fleet.scores.linux.ssh import SshMachine
from fleet.scores.linux.topology import LinuxHostTopology
from fleet.scores.score import Score
from lab.devices.vm import access, machine, package_proxy, seed
from lab.devices.vm import device as devices
from lab.devices.vm.device import VmDevice
from lab.host.lab_host import LabHost
from lab.host.ledger import Kind

_OTHER = "what it was set up with is no longer what it is to be"


@dataclass(frozen=True)
class SetUpScore(Score[LabHost]):
    """*device* is set up as its lab wants it now."""

    device: VmDevice

    @property
    def name(self) -> str:
        return f"set-up {self.device.id}"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        entry = machine.find(topology, self.device.id)
        if entry is None or not entry.facts.get("booted"):
            return ("it was never set up",)
        return () if entry.facts.get("set_up") == seed.digest(self.device) else (_OTHER,)

    def bring_about(self, topology: LabHost) -> None:
        wanted = FleetDeviceSetupScore(
            seed.setup(self.device),
            told=lambda outcome: topology.saw(f"{outcome.score}: {outcome.change}"),
        )
        with log_in(topology, self.device) as login:
            there = LinuxHostTopology(login)
            lacks = any(step.differences(there) for step in wanted.packages())
            lent = package_proxy.packages(topology, self.device, there) if lacks else nullcontext()
            with lent:
                wanted.interpret(there).expect()
        topology.ledger.note(Kind.DOMAIN, self.device.id, set_up=seed.digest(self.device))


def restart_agent(topology: LabHost, device: VmDevice) -> None:
    """Have systemd on *device* start its agent anew. Its containers run on."""
    with log_in(topology, device) as there:
        run(there, "systemctl", "restart", rendering.UNIT)


def log_in(topology: LabHost, device: VmDevice) -> SshMachine:
    """
    Log in to *device* as its administrator.

    :raises errors.MachineUnreachable: it doesn't answer.
    """
    return SshMachine.connect(
        devices.address(topology, device),
        user=devices.ADMIN,
        key=access.keypair().private,
        known_hosts=devices.places(topology, device.id).known_hosts,
    )
