"""A Linux machine as a topology: it runs commands, here or over SSH, and promises nothing more."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fleet.scores.linux.local import LocalMachine
from fleet.scores.linux.machine import Machine


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
