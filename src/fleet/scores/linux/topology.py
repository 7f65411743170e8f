"""A Linux machine as a topology: it runs commands, here or over SSH, and promises nothing more."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fleet import errors
from fleet.scores.kvm.topology import KvmHostTopology
from fleet.scores.linux import packages
from fleet.scores.linux.families import Family
from fleet.scores.linux.local import LocalMachine
from fleet.scores.linux.machine import Machine, run

if TYPE_CHECKING:
    from fleet.scores.kvm.promotion import PromotionScore


@dataclass(frozen=True)
class LinuxHostTopology:
    """A machine that runs Linux. It has `capabilities.RunsCommands`."""

    machine: Machine

    @classmethod
    def from_local(cls) -> Self:
        """Take the machine that we are on."""
        return cls(LocalMachine())

    @classmethod
    def over_ssh(
        cls,
        address: str,
        *,
        user: str,
        key: Path | None = None,
        password: str | None = None,
        known_hosts: Path,
        port: int = 22,
        within: float = 20.0,
    ) -> Self:
        """Log in to a machine; see `ssh.SshMachine.connect`, also for what it raises."""
        # A device interprets scores on itself, and has no paramiko.
        from fleet.scores.linux.ssh import SshMachine  # noqa: PLC0415

        return cls(
            SshMachine.connect(
                address,
                user=user,
                key=key,
                password=password,
                known_hosts=known_hosts,
                port=port,
                within=within,
            )
        )

    @functools.cached_property
    def family(self) -> Family:
        """
        Return the family of its distribution; it is asked once.

        :raises errors.HostUnsupported: none that we know.
        """
        return packages.read_release(self.machine).family

    def promote(self, wanted: "PromotionScore | None" = None) -> KvmHostTopology:
        """
        Make a hypervisor of the machine, or find that it is one, and return it as that.

        Close it, or use it in a `with` statement. Without *wanted*, its libvirt is asked where the
        machine says: by the same login, over SSH.

        :raises errors.HostUnsupported: it can't become one; the message says what would help.
        :raises errors.HypervisorUnavailable: libvirt doesn't answer, though all is installed.
        """
        # A device interprets scores on itself, and has no libvirt.
        from fleet.scores.kvm import promotion  # noqa: PLC0415

        score = wanted or promotion.PromotionScore()
        score.interpret(self).expect()
        return score.promoted(self)

    def ensure_ready(self) -> None:
        """
        See that it answers, lets us be root, and runs Linux of a family that we know.

        :raises errors.HostUnsupported: it can't be worked with; says why.
        """
        if (uid := run(self.machine, "id", "--user").strip()) != "0":
            what = f"{self.machine.name}: programs run as {uid} there, and not as root"
            raise errors.HostUnsupported(what, element=self.machine.name)
        if (kernel := run(self.machine, "uname", "-s").strip()) != "Linux":
            what = f"{self.machine.name} runs {kernel}, and not Linux"
            raise errors.HostUnsupported(what, element=self.machine.name)
        _ = self.family
