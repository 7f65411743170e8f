"""
The ways into a device: podman's API there, and a Python in its network, as argument lists.

A device of this host is entered by its namespaces; a machine by SSH as its administrator, with the
pinned host key of `lab.status` and one connection for all commands.
"""

import atexit
import functools
import shlex
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

AGENT_USER = "fleet-agent"


class Inside(Protocol):
    """What a test runs in a device."""

    def podman(self, *arguments: str) -> list[str]:
        """Spell a podman command against the API that the agent uses."""

    def python(self, code: str) -> list[str]:
        """Spell the run of some Python with the device's own network."""


@dataclass(frozen=True, slots=True)
class Namespaces:
    """A device that is namespaces of this host."""

    socket: str
    netns: str

    def podman(self, *arguments: str) -> list[str]:
        """Speak to the socket from here."""
        return ["podman", "--remote", "--url", self.socket, *arguments]

    def python(self, code: str) -> list[str]:
        """Enter its network alone."""
        return ["nsenter", f"--net={self.netns}", sys.executable, "-c", code]


@dataclass(frozen=True, slots=True)
class Machine:
    """A device that is a machine; *config* is an `ssh_config` that knows it by *id*."""

    id: str
    config: Path

    def podman(self, *arguments: str) -> list[str]:
        """Run podman there, as the user whose containers they are."""
        uid = f"$(id -u {AGENT_USER})"
        url = f"unix:///run/user/{uid}/podman/podman.sock"
        return self._ssh(f"sudo -n podman --remote --url {url} {shlex.join(arguments)}")

    def python(self, code: str) -> list[str]:
        """Run it there."""
        return self.command("python3", "-c", code)

    def command(self, *argv: str) -> list[str]:
        """Spell a command there, as the administrator."""
        return self._ssh(shlex.join(argv))

    def _ssh(self, line: str) -> list[str]:
        return ["ssh", "-F", str(self.config), self.id, line]


def of(status: dict[str, Any]) -> Inside:
    """Return the way into a device of `lab.status`."""
    if status["backend"] == "vm":
        return Machine(status["id"], ssh_config(status))
    return Namespaces(status["podman"], status["netns"])


def ssh_config(status: dict[str, Any]) -> Path:
    """
    Write what SSH has to know of a machine: where, who, by which key, and which host key is right.

    Its path is short: that of the shared connection's socket beside it must be, too.
    """
    ssh = status["ssh"]
    path = _directory() / f"{status['id']}-{status['address']}"
    lines = {
        "HostName": status["address"],
        "Port": ssh["port"],
        "User": ssh["user"],
        "IdentityFile": ssh["key"],
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": ssh["known_hosts"],
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "PasswordAuthentication": "no",
        "ConnectTimeout": 10,
        "ServerAliveInterval": 5,  # a machine that was switched off must not hang a test
        "ServerAliveCountMax": 3,
        "ControlMaster": "auto",
        "ControlPath": f"{_directory()}/%C",
        "ControlPersist": 30,
        "LogLevel": "ERROR",
    }
    text = "".join(f"  {name} {value}\n" for name, value in lines.items())
    path.write_text(f"Host {status['id']}\n{text}")
    return path


@functools.cache
def _directory() -> Path:
    made = Path(tempfile.mkdtemp(prefix="fleet-ssh-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made
