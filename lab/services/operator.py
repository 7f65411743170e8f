"""
The operator as a process of the lab, with the rights that it has as a pod and no others.

Its ServiceAccount and roles are those of ``deploy/operator``; it carries a token of that account,
and has its own NATS user.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fleet.scores import nats_server
from fleet.scores.capabilities import Manifest
from fleet.scores.score import Score
from lab.errors import LabError
from lab.host import source_digests
from lab.host.lab_host import LabHost
from lab.host.processes import ProcessScore
from lab.services.broker.stage import OPERATOR, Broker
from lab.services.cluster import objects
from lab.services.cluster.control_plane import ControlPlane
from lab.services.cluster.objects import ObjectsScore
from lab.services.cluster.service_account import ServiceAccountScore
from lab.system import probes

PART = "operator"
MANIFESTS = Path(__file__).parents[2] / "deploy" / "operator"

_HEALTH_PORT = 8080
_METRICS_PORT = 8081
_RIGHTS = frozenset({"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"})


@dataclass(frozen=True, slots=True)
class Operator:
    """The operator of a lab, with its files in *directory*."""

    directory: Path
    plane: ControlPlane
    broker: Broker
    address: str
    health_port: int
    metrics_port: int
    silence: int | None = None

    @property
    def health(self) -> str:
        """Return the URL under which ``/healthz`` and ``/readyz`` answer."""
        return f"http://{self.address}:{self.health_port}"

    @property
    def metrics(self) -> str:
        """Return the URL of the metrics."""
        return f"http://{self.address}:{self.metrics_port}/metrics"


def operator(
    host: LabHost,
    plane: ControlPlane,
    broker: Broker,
    address: str = "",
    silence: int | None = None,
) -> Operator:
    """
    Describe the operator of the lab on *host*, at the bridge's address unless told.

    *silence* is the seconds without a heartbeat after which a device is stale.
    """
    address = address or host.address
    return Operator(
        directory=host.state / "operator",
        plane=plane,
        broker=broker,
        address=address,
        health_port=host.port("operator-health", prefer=_HEALTH_PORT, address=address),
        metrics_port=host.port("operator-metrics", prefer=_METRICS_PORT, address=address),
        silence=silence,
    )


def scores(wanted: Operator) -> tuple[Score[LabHost], ...]:
    """List what makes an operator that is ready."""
    granted = rights(objects.load(MANIFESTS))
    identity = _identity(wanted, granted)
    return (
        ObjectsScore(wanted.plane, "rights of the operator", granted),
        identity,
        ProcessScore(
            part=PART,
            argv=(sys.executable, "-m", "fleet.operator.main"),
            env=_environment(wanted, identity),
            ready=probes.http(f"{wanted.health}/readyz"),
            within=180,  # a large fleet, on a machine that does other things as well
            config_digest=source_digests.digest("operator", "bus", "contracts"),
        ),
    )


def rights(manifests: tuple[Manifest, ...]) -> tuple[Manifest, ...]:
    """Pick the operator's account and roles; what would make it a pod stays behind."""
    return tuple(manifest for manifest in manifests if manifest["kind"] in _RIGHTS)


def _identity(wanted: Operator, granted: tuple[Manifest, ...]) -> ServiceAccountScore:
    for manifest in granted:
        if manifest["kind"] == "ServiceAccount":
            metadata = manifest["metadata"]
            return ServiceAccountScore(
                plane=wanted.plane,
                directory=wanted.directory,
                namespace=metadata["namespace"],
                account=metadata["name"],
            )
    raise LabError(f"{MANIFESTS} has no ServiceAccount", element=PART)


def _environment(wanted: Operator, identity: ServiceAccountScore) -> Mapping[str, str]:
    return {
        "KUBECONFIG": str(identity.kubeconfig),
        "FLEET_NATS_URL": wanted.broker.url,
        "FLEET_MAX_BYTES": str(nats_server.bucket_bytes_for(len(wanted.broker.devices))),
        "FLEET_NATS_CREDENTIALS": str(wanted.broker.credentials(OPERATOR)),
        "FLEET_HEALTH_LISTEN": f"{wanted.address}:{wanted.health_port}",
        "FLEET_METRICS_LISTEN": f"{wanted.address}:{wanted.metrics_port}",
        "FLEET_LOG_FORMAT": "json",
        **({} if wanted.silence is None else {"FLEET_SILENCE": str(wanted.silence)}),
    }
