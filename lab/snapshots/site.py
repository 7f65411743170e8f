"""
The real lab, as `lab.snapshots.port` wants it.

Services are processes that the ledger names; what starts them again is the walk of `lab.up`.
Machines are libvirt's (`lab.devices.vm.saved_state`); host devices are namespaces of this host.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from fleet.scores.score import interpret_all
from lab.devices import host as host_devices
from lab.devices.host_device import HostDevice
from lab.devices.vm.saved_state import VmMachine
from lab.errors import LabError, WaitTimedOut
from lab.host import processes
from lab.host.lab_host import LabHost
from lab.host.labs import Lab
from lab.host.ledger import Kind
from lab.lifecycle import assembly, bring_up, stages, status
from lab.lifecycle import topology as topologies
from lab.lifecycle.assembly import Assembly
from lab.lifecycle.stages import Audience, Plan, Stage
from lab.lifecycle.topology import Topology
from lab.services import operator, registry
from lab.services.broker import heartbeats
from lab.services.broker import process as broker
from lab.services.cluster import stage as cluster
from lab.snapshots import identity
from lab.snapshots.archive import Archive
from lab.snapshots.keys import Key
from lab.system import copying

# In the order to stop them: each before those that it talks to.
SERVICES = (
    operator.PART, registry.PART, broker.PART,
    cluster.CONTROLLER_MANAGER, cluster.API_SERVER, cluster.ETCD,
)  # fmt: skip
# What they keep, by the directory of the lab. Tokens, certificates and passwords are with what they
# open: a store without its keys is of no use.
STORES: Mapping[str, str] = {
    "etcd": "cluster", "NATS": "broker", "images": "registry", "identity": "operator",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ProcessService:
    """`port.Service`: the process *name* of the lab's ledger."""

    host: LabHost
    name: str

    def stop(self) -> None:
        """See `port.Service`."""
        if entry := self.host.ledger.find(Kind.PROCESS, self.name):
            processes.stop(entry)


@dataclass(frozen=True, slots=True)
class DirectoryStore:
    """`port.Store`: a directory of the lab's state."""

    name: str
    path: Path

    def size(self) -> int:
        """See `port.Store`."""
        return copying.allocated(self.path)

    def copy(self, into: Path) -> None:
        """See `port.Store`."""
        copying.copy(self.path, into)

    def put_back(self, kept: Path) -> None:
        """See `port.Store`."""
        copying.replace(kept, self.path)


@dataclass(frozen=True, slots=True)
class HostJournal:
    """`port.Journal`: a host device."""

    host: LabHost
    device: HostDevice

    @property
    def name(self) -> str:
        """See `port.Journal`."""
        return self.device.id

    def size(self) -> int:
        """See `port.Journal`."""
        return copying.allocated(self._path)

    def copy(self, into: Path) -> None:
        """See `port.Journal`."""
        copying.copy(self._path, into)

    def stop(self) -> None:
        """See `port.Journal`."""
        ProcessService(self.host, self.device.agent_part).stop()

    def rebuild(self, kept: Path) -> None:
        """See `port.Journal`."""
        for outcome in interpret_all(host_devices.computer(self.host, self.device), self.host):
            outcome.expect()
        host_devices.remove_containers(self.host, self.device)
        copying.replace(kept, self._path)

    @property
    def _path(self) -> Path:
        return host_devices.journal_of(self.host, self.device.id)


@dataclass(frozen=True, slots=True)
class LabSite:
    """`port.Site`: *lab*, of *topology*. *audience* hears of what is raised."""

    lab: Assembly
    topology: Topology
    audience: Audience

    @property
    def services(self) -> Sequence[ProcessService]:
        """See `port.Site`."""
        return tuple(ProcessService(self.lab.host, name) for name in SERVICES)

    @property
    def stores(self) -> Sequence[DirectoryStore]:
        """See `port.Site`."""
        state = self.lab.host.state
        return tuple(DirectoryStore(name, state / place) for name, place in STORES.items())

    @property
    def machines(self) -> Sequence[VmMachine]:
        """See `port.Site`."""
        host = replace(self.lab.host, saw=self.audience.sees)
        return tuple(VmMachine(host, device) for device in self.lab.machines)

    @property
    def journals(self) -> Sequence[HostJournal]:
        """See `port.Site`."""
        return tuple(HostJournal(self.lab.host, device) for device in self.lab.hosts)

    def key(self) -> Key:
        """See `port.Site`."""
        return identity.key_of(self.lab, self.topology)

    def require_well(self) -> None:
        """See `port.Site`."""
        plans = assembly.plans(self.lab)
        done = stages.reach(plans, self.lab.host, status.Nobody(), dry_run=True)
        if found := status.problems(done):
            raise LabError(
                f"lab {self.lab.host.name} is not as it is wanted: {'; '.join(found)}",
                element=self.lab.host.name,
                hint="a snapshot is taken of a lab that is well: invoke lab.up",
            )

    def raise_ground(self) -> None:
        """See `port.Site`."""
        plans = assembly.plans(self.lab)
        services = [plan for plan in plans if plan.stage not in {Stage.DEVICES, Stage.READY}]
        ground = [replace(plan, lanes={}) for plan in plans if plan.stage is Stage.DEVICES]
        self._raise((*services, *ground))

    def raise_all(self) -> None:
        """See `port.Site`."""
        self._raise(assembly.plans(self.lab))

    def await_heard(self, since: datetime) -> Mapping[str, datetime]:
        """See `port.Site`."""
        try:
            return heartbeats.await_heard(self.lab.broker, since, saw=self.audience.sees)
        except WaitTimedOut as exc:
            exc.log = self.lab.host.logs
            raise

    def _raise(self, plans: Sequence[Plan]) -> None:
        done = bring_up.reach(self.lab, self.audience, plans)
        for error in bring_up.failures(done, self.lab.host):
            raise error


def of(known: Lab, audience: Audience) -> LabSite:
    """Return the lab that *known* is, as snapshots see it."""
    topology = topologies.load(known.topology)
    return LabSite(assembly.assemble(known.host, topology), topology, audience)


def archive_of(host: LabHost) -> Archive:
    """Return the snapshots of a lab."""
    return Archive(host.state / "snapshots")
