"""
What a topology may be capable of, one `Protocol` each.

A score names the ones that it needs as its type parameter; a topology has
those that it really can provide. Nothing here does I/O.
"""

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

from fleet.scores.kvm.hypervisor import Hypervisor
from fleet.scores.linux.machine import Machine
from fleet.scores.nats_server import NatsServer

Manifest: TypeAlias = Mapping[str, Any]


class Cluster(Protocol):
    """
    A Kubernetes API, as far as scores need it.

    Every method raises `errors.ClusterUnavailable` when the API doesn't answer,
    and `errors.ClusterRefused` when it refuses for good.
    """

    def read(self, manifest: Manifest) -> Manifest | None:
        """Read the live object of *manifest*'s kind, namespace and name, if there is one."""

    def apply(self, manifest: Manifest, *, manager: str, dry_run: bool = False) -> Manifest:
        """
        Server-side apply *manifest*, and return what the object is (or would be) then.

        :raises errors.ImmutableField: it would change what can't change while the object exists.
        """

    def serves(self, api_version: str, kind: str) -> bool:
        """Tell whether objects of this kind can be made."""


class HasKubernetes(Protocol):
    """Reaches a Kubernetes API."""

    @property
    def cluster(self) -> Cluster:
        """The API it reaches."""


class RunsNats(Protocol):
    """Can run a NATS server: as a process, or as a workload of a cluster."""

    def nats_differences(self, wanted: NatsServer) -> tuple[str, ...]:
        """Tell in words how the server that runs differs from *wanted*."""

    def run_nats(self, wanted: NatsServer) -> None:
        """Make the server run as *wanted*, and return once it answers."""


class RunsCommands(Protocol):
    """Is a Linux machine, on which programs run as root."""

    @property
    def machine(self) -> Machine:
        """The machine."""


class HasLibvirt(Protocol):
    """Runs virtual machines, by libvirt."""

    @property
    def hypervisor(self) -> Hypervisor:
        """Its libvirt."""
