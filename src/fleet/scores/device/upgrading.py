"""
Another version of the agent on a device that has one: there, or back where it was.

The device's containers run on meanwhile. Whether the new version is well, its caller tells, by what
the fleet has heard from it: a process that runs may still not reach its hub.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from fleet import errors
from fleet.scores import waiting
from fleet.scores.capabilities import RunsCommands
from fleet.scores.device import installing
from fleet.scores.device.bundle import CURRENT, Bundle
from fleet.scores.device.installing import AgentInstalledScore
from fleet.scores.device.rendering import UNIT
from fleet.scores.linux import files
from fleet.scores.linux.machine import Machine, run
from fleet.scores.score import Score

WITHIN = 120.0


@dataclass(frozen=True, slots=True)
class AgentUpgradeScore(Score[RunsCommands]):
    """
    This version runs, and has reported in. Going down a version is the same.

    *missing* says what has not been heard from this version yet, and nothing once it has: from a
    heartbeat or the device's information in the fleet's buckets. When *within* seconds bring
    nothing, or it doesn't even start, the version before is put back and started, and the score
    fails with `errors.NotReady`.
    """

    bundle: Bundle
    missing: Callable[[], str] = field(compare=False)
    within: float = WITHIN

    @property
    def name(self) -> str:
        """Name the version."""
        return f"agent upgraded to {self.bundle.version}"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Compare what is installed, and whether it has been heard of."""
        found = AgentInstalledScore(self.bundle).differences(topology)
        if found:
            return found
        silent = self.missing()
        return (f"{self.bundle.version} is installed, but: {silent}",) if silent else ()

    def bring_about(self, topology: RunsCommands) -> None:
        """Install, restart and listen; go back when nothing is heard."""
        machine = topology.machine
        AgentInstalledScore(self.bundle).interpret(topology).expect()
        what = f"the agent {self.bundle.version} reports in"
        try:
            _restart(machine)  # fails at once where the version can't even read its configuration
            waiting.until(what, self.missing, within=self.within)
        except (errors.NotReady, errors.CommandFailed) as exc:
            raise self._gone_back(machine, exc) from exc
        installing.prune(machine)

    def _gone_back(self, machine: Machine, why: errors.FleetError) -> errors.NotReady:
        before = installing.previous(machine)
        if before in {None, str(self.bundle.folder)}:
            return errors.NotReady(
                f"{machine.name}: {why}; there is no version before it to go back to",
                element=self.bundle.version,
            )
        files.link(machine, str(CURRENT), str(before))
        _restart(machine)
        return errors.NotReady(
            f"{machine.name}: {why}; went back to {before}, which runs again",
            element=self.bundle.version,
        )


def _restart(machine: Machine) -> None:
    """Start it anew, also when it has failed, or was told never to start again."""
    run(machine, "systemctl", "restart", "--", UNIT)
