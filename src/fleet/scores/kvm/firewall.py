"""
The host of a site's firewall machines: a bare Debian becomes a hypervisor with pool and networks.

No script has a part in it: packages, services, the pool and the networks are scores, so a second
run does nothing, and a dry run tells what the first would do.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fleet.scores.capabilities import HasLibvirt
from fleet.scores.kvm.defining import NetworkScore, PoolScore
from fleet.scores.kvm.networks import Network
from fleet.scores.kvm.pools import HarmonyFleetPool
from fleet.scores.kvm.promotion import PromotionScore
from fleet.scores.linux.topology import LinuxHostTopology
from fleet.scores.score import Score

DIRECTORY = Path("/var/lib/harmony-fleet/pool")


@dataclass(frozen=True)
class FirewallVmHostScore(Score[LinuxHostTopology]):
    """A machine is a hypervisor, and has *pool* and *networks* for the firewall's machines."""

    networks: tuple[Network, ...]
    pool: HarmonyFleetPool = field(default_factory=lambda: HarmonyFleetPool(DIRECTORY))
    promotion: PromotionScore = field(default_factory=PromotionScore)

    @property
    def name(self) -> str:
        return "firewall host"

    def differences(self, topology: LinuxHostTopology) -> tuple[str, ...]:
        promoting = self.promotion.differences(topology)
        if promoting:
            # Without a libvirt nobody can ask it what it has.
            return (*promoting, *(f"{score.name} is still to be looked at" for score in self._on()))
        with self.promotion.connected(topology) as host:
            return tuple(self._compared(host))

    def bring_about(self, topology: LinuxHostTopology) -> None:
        with topology.promote(self.promotion) as host:
            for score in self._on():
                score.interpret(host).expect()

    def _compared(self, host: HasLibvirt) -> Iterator[str]:
        for score in self._on():
            yield from (f"{score.name}: {found}" for found in score.differences(host))

    def _on(self) -> tuple[Score[HasLibvirt], ...]:
        return (PoolScore(self.pool), *(NetworkScore(network) for network in self.networks))
