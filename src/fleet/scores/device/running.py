"""
The agent's unit: enabled, running, and with what is configured now.

What an agent was started with stands in its environment, as a digest: an agent that runs with
another is restarted, whoever changed what it reads, and wherever that was broken off.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fleet import errors
from fleet.scores.capabilities import RunsCommands
from fleet.scores.device.rendering import DIGEST_VARIABLE, UNIT
from fleet.scores.linux.machine import Machine, run
from fleet.scores.score import Score

_ASKED = "--property=ActiveState,UnitFileState,MainPID,NeedDaemonReload"
_LINES = "20"


@dataclass(frozen=True, slots=True)
class AgentRunningScore(Score[RunsCommands]):
    """The agent runs, with what *digest* is the digest of."""

    digest: str

    @property
    def name(self) -> str:
        """Name the unit."""
        return UNIT

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Ask systemd, and look into the environment that the agent was started with."""
        found = _properties(topology.machine)
        return tuple(self._differences(topology.machine, found))

    def bring_about(self, topology: RunsCommands) -> None:
        """Have systemd read the unit, enable it, and start it anew."""
        machine = topology.machine
        run(machine, "systemctl", "daemon-reload")
        run(machine, "systemctl", "enable", "--", UNIT)
        if not machine.ask("systemctl", "restart", "--", UNIT).ok:
            journal = ("journalctl", "--no-pager", "--output=cat", "--lines", _LINES)
            said = machine.ask(*journal, "--unit", UNIT).text.strip()
            raise errors.CommandFailed(
                f"{machine.name}: {UNIT} doesn't start; its journal ends with:\n{said}",
                element=UNIT,
            )

    def _differences(self, machine: Machine, found: Mapping[str, str]) -> Iterator[str]:
        if found.get("UnitFileState") != "enabled":
            yield f"{UNIT} isn't enabled"
        if found.get("NeedDaemonReload") == "yes":
            yield f"systemd has read an older {UNIT}"
        if found.get("ActiveState") != "active":
            yield f"{UNIT} is {found.get('ActiveState', 'unknown')}"
        elif _started_with(machine, found.get("MainPID", "0")) != self.digest:
            yield f"{UNIT} runs with what was configured before"


def _properties(machine: Machine) -> Mapping[str, str]:
    said = run(machine, "systemctl", "show", _ASKED, "--", UNIT)
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def _started_with(machine: Machine, pid: str) -> str:
    """Read the digest out of the environment of the process *pid*; nothing when it has gone."""
    environment = machine.ask("cat", "--", f"/proc/{pid}/environ").out.decode(errors="replace")
    values = dict(line.split("=", 1) for line in environment.split("\0") if "=" in line)
    return values.get(DIGEST_VARIABLE, "")
