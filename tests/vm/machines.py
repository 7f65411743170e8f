"""A machine of the lab, seen and disturbed as its administrator does: over SSH."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.using_lab import insides
from tests.using_lab.labs import Lab
from tests.using_lab.waiting import eventually

BOOT_WITHIN = 240  # emulated, on a busy host
COMMAND_WITHIN = 120


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine of *lab*."""

    lab: Lab
    id: str
    inside: insides.Machine
    status: dict[str, Any]

    @classmethod
    def of(cls, lab: Lab, status: dict[str, Any]) -> "Machine":
        """Read a machine of `lab.status`."""
        return cls(
            lab, status["id"], insides.Machine(status["id"], insides.ssh_config(status)), status
        )

    def asks(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a command there as root, however it ends."""
        return subprocess.run(
            self.inside.command("sudo", "-n", "--", *argv),
            capture_output=True, text=True, timeout=COMMAND_WITHIN, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def root(self, *argv: str) -> str:
        """Run a command there as root that has to work, and return what it printed."""
        done = self.asks(*argv)
        assert done.returncode == 0, f"{argv} on {self.id}: {done.stderr or done.stdout}"
        return done.stdout

    @property
    def serial(self) -> Path:
        """Return the file with all that its serial console said."""
        return Path(self.status["serial"])

    @property
    def boot_id(self) -> str:
        """Tell this boot of the machine from any other."""
        return self.root("cat", "/proc/sys/kernel/random/boot_id").strip()

    def reboot(self) -> str:
        """Have it start anew, wait until it is there again, and return its new boot id."""
        before = self.boot_id
        self.asks("systemctl", "reboot")  # the connection may end with it

        def look() -> str:
            """the machine has booted anew, and answers"""
            now = self.boot_id
            assert now != before
            return now

        return eventually(look, within=BOOT_WITHIN, every=2)

    def cut_power(self) -> None:
        """Have the machine's power go away at once: nothing is written any more."""
        if self._virsh("domstate") != "shut off":
            self._virsh("destroy")

    def _virsh(self, command: str) -> str:
        argv = ("virsh", "--connect", self.status["libvirt"], command, self.status["domain"])
        done = subprocess.run(
            argv, capture_output=True, check=True, timeout=COMMAND_WITHIN, text=True
        )
        return done.stdout.strip()
