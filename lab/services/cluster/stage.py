"""The control plane as a list of scores, in order."""

from dataclasses import dataclass

from fleet.contracts.schemas import crds
from fleet.scores.capabilities import Manifest
from fleet.scores.score import Score
from lab.host import files
from lab.host.files import FileScore
from lab.host.lab_host import LabHost
from lab.host.processes import ProcessScore
from lab.services.cluster import access, objects
from lab.services.cluster import control_plane as planes
from lab.services.cluster.access import KubeconfigScore, TokensScore
from lab.services.cluster.control_plane import ControlPlane
from lab.services.cluster.objects import ObjectsScore
from lab.system import probes
from lab.system.programs import program

ETCD = "etcd"
API_SERVER = "kube-apiserver"
CONTROLLER_MANAGER = "kube-controller-manager"
PARTS = (ETCD, API_SERVER, CONTROLLER_MANAGER)

NAMESPACES = ("fleet-system", "fleet-demo")

_API_PORT = 6443


@dataclass(frozen=True, slots=True)
class ApiServerScore(Score[LabHost]):
    """The API server runs with the tokens that its file has now: it reads them at start only."""

    plane: ControlPlane

    @property
    def name(self) -> str:
        return f"process {API_SERVER}"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        return self._process().differences(topology)

    def bring_about(self, topology: LabHost) -> None:
        self._process().bring_about(topology)

    def _process(self) -> ProcessScore:
        tokens = planes.token_lines(access.tokens(self.plane))
        return ProcessScore(
            part=API_SERVER,
            argv=planes.api_server(self.plane, program(API_SERVER)),
            ready=probes.http(f"{self.plane.server}/readyz", ca=self.plane.certificate),
            within=90,
            cwd=self.plane.directory,
            config_digest=files.digest(planes.authentication(), tokens),
        )


def control_plane(host: LabHost, address: str = "") -> ControlPlane:
    """Describe the control plane of the lab on *host*, at the bridge's address unless told."""
    address = address or host.address
    return ControlPlane(
        name=f"fleet-{host.name}",
        directory=host.state / "cluster",
        address=address,
        port=host.port(API_SERVER, prefer=_API_PORT, address=address),
        manager_port=host.port(CONTROLLER_MANAGER),
    )


def scores(plane: ControlPlane) -> tuple[Score[LabHost], ...]:
    """List what makes an API that answers, with Fleet's kinds and the operator's rights."""
    return (
        TokensScore(plane),
        FileScore(plane.authentication, planes.authentication()),
        etcd(plane),
        ApiServerScore(plane),
        KubeconfigScore(plane, plane.kubeconfig, planes.ADMIN),
        KubeconfigScore(plane, plane.manager_kubeconfig, planes.MANAGER),
        controller_manager(plane),
        ObjectsScore(plane, "namespaces", tuple(map(objects.namespace, NAMESPACES))),
        ObjectsScore(plane, "custom resource definitions", definitions()),
    )


def definitions() -> tuple[Manifest, ...]:
    """List Fleet's kinds."""
    return tuple(crds.definitions())


def etcd(plane: ControlPlane) -> ProcessScore:
    """Run etcd."""
    return ProcessScore(
        part=ETCD,
        argv=planes.etcd(plane, program(ETCD)),
        ready=probes.http("/readyz", unix_socket=plane.etcd_socket),
        cwd=plane.directory,
    )


def controller_manager(plane: ControlPlane) -> ProcessScore:
    """Run the controller manager."""
    certificate = plane.directory / "controller-manager-certs" / "kube-controller-manager.crt"
    return ProcessScore(
        part=CONTROLLER_MANAGER,
        argv=planes.controller_manager(plane, program(CONTROLLER_MANAGER)),
        ready=probes.http(f"https://127.0.0.1:{plane.manager_port}/healthz", ca=certificate),
        within=60,
        cwd=plane.directory,
    )
