"""
Domains, networks and pools as scores: defined with libvirt as they are wanted.

What has the name already and isn't ours is refused, with its owner, and never touched.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fleet import errors
from fleet.scores.capabilities import HasLibvirt
from fleet.scores.kvm import domains, elements, networks, pools
from fleet.scores.kvm.domains import Domain
from fleet.scores.kvm.hypervisor import DomainState, Hypervisor, NetworkState, PoolState
from fleet.scores.kvm.networks import Network
from fleet.scores.kvm.pools import HarmonyFleetPool
from fleet.scores.score import Score


@dataclass(frozen=True)
class DomainScore(Score[HasLibvirt]):
    """
    *domain* is defined as it is wanted, and on where it should be.

    One that is on takes a change of its definition when it is started next.
    """

    domain: Domain
    is_on: bool = False

    @property
    def name(self) -> str:
        return f"domain {self.domain.name}"

    def differences(self, topology: HasLibvirt) -> tuple[str, ...]:
        found = self._find(topology.hypervisor)
        if found is None:
            return ("it is not defined",)
        off = ("it is off",) if self.is_on and not found.is_on else ()
        return (*elements.differences(domains.xml(self.domain), found.xml), *off)

    def bring_about(self, topology: HasLibvirt) -> None:
        hypervisor = topology.hypervisor
        wanted, found = domains.xml(self.domain), self._find(hypervisor)
        if found is None or elements.differences(wanted, found.xml):
            hypervisor.define(wanted)
        if self.is_on:
            hypervisor.start(self.domain.name)

    def _find(self, hypervisor: Hypervisor) -> DomainState | None:
        found = hypervisor.find(self.domain.name)
        if found is not None:
            _ours("domain", found.name, elements.owner_of(found.xml), self.domain.owner)
        return found


@dataclass(frozen=True)
class NetworkScore(Score[HasLibvirt]):
    """*network* is defined as it is wanted, and up; now, and whenever libvirt starts."""

    network: Network

    @property
    def name(self) -> str:
        return f"network {self.network.name}"

    def differences(self, topology: HasLibvirt) -> tuple[str, ...]:
        found = self._find(topology.hypervisor)
        if found is None:
            return ("it is not defined",)
        defined = elements.differences(networks.xml(self.network), found.xml)
        return (*defined, *_asleep(found))

    def bring_about(self, topology: HasLibvirt) -> None:
        hypervisor = topology.hypervisor
        wanted, found = networks.xml(self.network), self._find(hypervisor)
        if found is None or elements.differences(wanted, found.xml):
            self._take_down(hypervisor, found)
            hypervisor.define_network(wanted)
        hypervisor.start_network(self.network.name)

    def _find(self, hypervisor: Hypervisor) -> NetworkState | None:
        found = hypervisor.find_network(self.network.name)
        if found is not None:
            _ours("network", found.name, elements.owner_of(found.xml), self.network.owner)
        return found

    def _take_down(self, hypervisor: Hypervisor, found: NetworkState | None) -> None:
        """Take it down, to come up as wanted; not from under a machine: its cable would be cut."""
        if found is None or not found.is_active:
            return
        users = [
            domain.name
            for domain in hypervisor.domains()
            if domain.is_on and found.name in networks.plugged_into(domain.xml)
        ]
        if users:
            raise errors.NotReady(
                f"network {found.name} is to change, and {', '.join(users)} are plugged into it:"
                " shut them down first",
                element=found.name,
            )
        hypervisor.stop_network(found.name)


@dataclass(frozen=True)
class PoolScore(Score[HasLibvirt]):
    """*pool* is defined as it is wanted, and open; now, and whenever libvirt starts."""

    pool: HarmonyFleetPool

    @property
    def name(self) -> str:
        return f"pool {self.pool.name}"

    def differences(self, topology: HasLibvirt) -> tuple[str, ...]:
        found = self._find(topology.hypervisor)
        return ("it is not defined",) if found is None else tuple(_asleep(found))

    def bring_about(self, topology: HasLibvirt) -> None:
        hypervisor = topology.hypervisor
        if self._find(hypervisor) is None:
            hypervisor.define_pool(pools.xml(self.pool))
        hypervisor.start_pool(self.pool.name)

    def _find(self, hypervisor: Hypervisor) -> PoolState | None:
        found = hypervisor.find_pool(self.pool.name)
        if found is not None and found.uuid != self.pool.uuid:
            raise errors.NotOurs(
                f"pool {found.name} is there, and somebody else's, or in another directory than"
                f" {self.pool.path}: set {pools.NAME_VARIABLE} to another name",
                element=found.name,
            )
        return found


def ensure_harmony_fleet_pool(host: HasLibvirt, pool: HarmonyFleetPool | None = None) -> PoolState:
    """
    Make Fleet's pool on *host* if it isn't there, open it, and return it.

    :raises errors.NotOurs: a pool of that name is somebody else's.
    """
    wanted = pool or HarmonyFleetPool.from_env()
    PoolScore(wanted).interpret(host).expect()
    found = host.hypervisor.find_pool(wanted.name)
    if found is None:
        raise errors.NotReady(f"pool {wanted.name} is gone again", element=wanted.name)
    return found


def _ours(kind: str, name: str, owner: str | None, wanted: str) -> None:
    if owner != wanted:
        whose = f"{owner}'s" if owner else "somebody else's"
        raise errors.NotOurs(
            f"{kind} {name} is there, and {whose}, not {wanted}'s: it stays as it is; choose"
            " another name",
            element=name,
        )


def _asleep(found: NetworkState | PoolState) -> Iterator[str]:
    if not found.is_active:
        yield "it is down"
    if not found.starts_itself:
        yield "it would not come up with libvirt"
