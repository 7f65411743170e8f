"""
The real lab, as `lab.snapshots.port` wants it.

Services are processes that the ledger names; what starts them again is the walk that `lab.up` takes.
Machines are libvirt's (`lab.devices.vm.saving`); host devices are namespaces of this host.
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import msgspec

from fleet.contracts.names import DeviceId
from fleet.scores.score import interpret_all
from lab import (
    assembly,
    commands,
    copying,
    operator,
    processes,
    raising,
    registry,
    stages,
    status,
    waiting,
)
from lab import topology as topologies
from lab.assembly import Assembly
from lab.broker import heartbeats
from lab.broker import process as broker
from lab.cluster import stage as cluster
from lab.devices import host as host_devices
from lab.devices.host import HostDevice
from lab.devices.vm import accelerators, machine
from lab.devices.vm.device import VmDevice
from lab.devices.vm.saving import VmMachine
from lab.errors import LabError, PreflightFailed, WaitTimedOut
from lab.host import LabHost
from lab.images.cloud import cache, catalogue
from lab.labs import Lab
from lab.ledger import Kind
from lab.snapshots.archive import Archive
from lab.snapshots.keys import Key
from lab.stages import Audience, Plan, Stage
from lab.topology import Topology

# In the order to stop them: each before those that it talks to.
SERVICES = (
    operator.PART, registry.PART, broker.PART,
    cluster.CONTROLLER_MANAGER, cluster.API_SERVER, cluster.ETCD,
)  # fmt: skip
# What they keep, by the directory of the lab. Tokens, certificates and passwords are with those that
# they open: a store without its keys is of no use.
STORES: Mapping[str, str] = {
    "etcd": "cluster", "NATS": "broker", "images": "registry", "identity": "operator",
}  # fmt: skip

_HEARD_WITHIN = 150  # a link that broke unseen is noticed by 30 s; the rest is a busy host's
_LOOK_EVERY = 0.3


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
        machines = self.lab.machines
        return Key(
            image={each.id: image_of(self.lab.host, each) for each in machines},
            topology={each.id: _described(each) for each in self.topology.devices},
            qemu=dict(self._qemus()),
        )

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
        devices = tuple(DeviceId(device.id) for device in self.lab.devices)
        return await_heard(lambda: heartbeats.last_heard(self.lab.broker, devices), devices, since,
                           self.audience.sees, self.lab.host.logs)  # fmt: skip

    def _raise(self, plans: Sequence[Plan]) -> None:
        done = raising.reach(self.lab, self.audience, plans)
        for error in raising.failures(done, self.lab.host):
            raise error

    def _qemus(self) -> Iterator[tuple[str, str]]:
        for arch in sorted({each.arch for each in self.lab.machines}):
            kernels = {
                kernel_of(self.lab.host, each) for each in self.lab.machines if each.arch is arch
            }
            ways = {accelerators.chosen(kernel) for kernel in kernels if kernel}
            program = f"qemu-system-{arch}"
            yield program, emulator(program, " ".join(sorted(ways)))


def of(known: Lab, audience: Audience) -> LabSite:
    """Return the lab that *known* is, as snapshots see it."""
    topology = topologies.load(known.topology)
    return LabSite(assembly.assemble(known.host, topology), topology, audience)


def archive_of(host: LabHost) -> Archive:
    """Return the snapshots of a lab."""
    return Archive(host.state / "snapshots")


def await_heard(
    ask: Callable[[], Mapping[DeviceId, datetime]],
    devices: Sequence[DeviceId],
    since: datetime,
    saw: Callable[[str], None],
    logs: Path,
    within: float = _HEARD_WITHIN,
) -> Mapping[str, datetime]:
    """
    Wait until *ask* tells that each of *devices* was heard after *since*.

    :raises WaitTimedOut: names those that were not.
    """
    heard: dict[str, datetime] = {}

    def probe() -> str:
        heard.update({device: at for device, at in ask().items() if at > since})
        silent = [device for device in devices if device not in heard]
        return f"not heard yet: {', '.join(silent)}" if silent else ""

    try:
        waiting.wait_for("every device is heard", probe, within=within, every=_LOOK_EVERY, saw=saw)
    except WaitTimedOut as exc:
        exc.log = logs
        exc.hint = (
            "a machine: invoke lab.exec DEVICE -- journalctl -u fleet-agent; else its agent's log"
        )
        raise
    return heard


def image_of(host: LabHost, device: VmDevice) -> str:
    """Return the digest of the image that the disk of *device* stands on, or would if it were new."""
    base = machine.base_of(host, device.id)
    if base is not None:
        return base.digest if base.disk.exists() else f"{base.digest}, which is gone"
    stored = cache.stored(catalogue.find(device.image))
    return stored.digest if stored else f"{device.image}, which is not in the cache"


def kernel_of(host: LabHost, device: VmDevice) -> Path | None:
    """Return the kernel that *device* boots, or would if its disk were new."""
    if base := machine.base_of(host, device.id):
        return base.kernel
    stored = cache.stored(catalogue.find(device.image))
    return stored.kernel if stored else None


def emulator(program: str, accelerator: str) -> str:
    """Describe the QEMU called *program*: its version, its digest, and how it runs guests."""
    path = shutil.which(program)
    if path is None:
        raise PreflightFailed(
            f"the program `{program}` is not installed", element=program, hint="invoke lab.doctor"
        )
    first = commands.run(path, "--version").partition("\n")[0]
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{first} (sha256 {digest[:16]}), {accelerator}"


def _described(device: topologies.Device) -> str:
    """Return the digest of a device of the topology, after what can be told of it in words."""
    digest = hashlib.sha256(msgspec.json.encode(device, order="deterministic")).hexdigest()
    return f"{device.place} {digest[:16]}"
