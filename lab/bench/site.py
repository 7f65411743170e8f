"""
A control plane for a benchmark: etcd, kube-apiserver, NATS and the operator, as the lab runs them.

It listens on loopback, keeps its files in a directory of its own, and ends with the block. No
bridge and no device, so no root: what takes part on the bus are agents of the benchmark. That of a
benchmark that is killed is ended by the next one (`sites`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from fleet.contracts.names import DeviceId
from fleet.scores.score import Score
from lab.bench import sites
from lab.host import processes
from lab.host.lab_host import Addresses, LabHost
from lab.host.ledger import Kind
from lab.services import operator
from lab.services.broker import stage as broker
from lab.services.broker.stage import Broker
from lab.services.cluster import stage as cluster
from lab.services.cluster.control_plane import ControlPlane
from lab.services.operator import Operator

_LOOPBACK = "127.0.0.1"
_NUMBER = 255  # no lab's bridge: nothing here looks at it
_PORTS = (
    cluster.API_SERVER,
    "nats-server",
    "operator-health",
    "operator-metrics",
)


@dataclass(frozen=True, slots=True)
class Site:
    """The parts of a control plane that runs."""

    host: LabHost
    plane: ControlPlane
    broker: Broker
    operator: Operator

    def stop_operator(self) -> None:
        """End the operator, in order."""
        entry = self.host.ledger.find(Kind.PROCESS, operator.PART)
        if entry:
            processes.stop(entry)
            self.host.ledger.forget(Kind.PROCESS, operator.PART)

    def start_operator(self) -> None:
        """Start the operator, and wait until it says that it is ready."""
        _bring_about(operator.scores(self.operator), self.host)

    def pid(self, part: str) -> int:
        """Return the process of *part*, which runs."""
        found = processes.pid_of(self.host.ledger, part)
        if found is None:
            raise RuntimeError(f"{part} does not run; its log is {self.host.log(part)}")
        return found


@contextmanager
def control_plane(devices: Sequence[DeviceId]) -> Iterator[Site]:
    """Run a control plane that lets *devices* in, until the block ends."""
    with sites.directory() as directory:
        yield _start(LabHost("bench", directory, Addresses(_NUMBER)), devices)


def _start(host: LabHost, devices: Sequence[DeviceId]) -> Site:
    for purpose in _PORTS:
        host.port(purpose)  # a free one, where a lab would rather have the well-known one
    plane = cluster.control_plane(host, _LOOPBACK)
    hub = broker.broker(host, devices, _LOOPBACK)
    site = Site(host, plane, hub, operator.operator(host, plane, hub, _LOOPBACK))
    _bring_about((*cluster.scores(plane), *broker.scores(hub)), host)
    site.start_operator()
    return site


def _bring_about(scores: Sequence[Score[LabHost]], host: LabHost) -> None:
    for score in scores:
        score.interpret(host).expect()
