"""
The port: what the agent needs of a container runtime.

A runtime shows and touches only containers that carry this device's labels
*and* the name that goes with them. Whatever else lives on the device is not
Fleet's to change, even where it is in the way.

Every method raises `errors.RuntimeUnavailable` when the runtime doesn't answer.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from fleet.agent.model.workloads import Workload
from fleet.contracts import containers, scores
from fleet.contracts.container_fields import DeviceNode
from fleet.contracts.names import DeploymentName, DeviceId


class Status(StrEnum):
    """What a container is doing."""

    CREATED = "created"
    RUNNING = "running"
    STOPPING = "stopping"
    EXITED = "exited"
    PAUSED = "paused"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Container:
    """
    A container of ours, as found.

    *devices* are those that it was made with, which nobody else gets until it is gone.
    *image* is a digest. *started* and *finished* are seconds since 1970, 0
    where that hasn't happened. *out_of_memory*: that is what it ended by. *health* is what
    the runtime remembers of the last checks of this run; "" where there is none.
    *has_other_node*: it was made with a device node that is another one now, and would never
    find that.
    """

    deployment: DeploymentName
    service: str
    digest: str
    id: str
    status: Status
    restart_policy: scores.RestartPolicy = scores.RestartPolicy.ALWAYS
    exit_code: int = 0
    out_of_memory: bool = False
    image: str = ""
    devices: tuple[DeviceNode, ...] = ()
    started: int = 0
    finished: int = 0
    health: str = ""
    ports: tuple[scores.Port, ...] = ()
    has_other_node: bool = False

    @property
    def name(self) -> str:
        """The name it bears in the runtime."""
        return containers.container_name(self.deployment, self.service)

    @property
    def has_begun(self) -> bool:
        """Whether its process has been started, as far as the runtime knows."""
        return self.started > 0

    @property
    def was_interrupted(self) -> bool:
        """
        Whether it began, and neither runs nor ended: nobody saw it end, since the power was cut.

        Podman calls such a one "created" (4.3) or "exited" with 0, but for its times (5). Of one
        that ends at once it notes the end before the start, as much as a second on a busy device.
        """
        if not self.has_begun or self.exit_code:
            return False
        is_unended = self.status is Status.EXITED and self.finished + 1 < self.started
        return self.status is Status.CREATED or is_unended

    @property
    def ran_for(self) -> int:
        """For how many seconds it ran, the last time it did; 0 while it still does."""
        return max(0, self.finished - self.started)


@dataclass(frozen=True, slots=True)
class Image:
    """An image on the device. *size* is in bytes; *is_used* by a container, whosever it is."""

    id: str
    names: frozenset[str] = frozenset()
    size: int = 0
    is_used: bool = False
    is_shared: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """An image that was transferred; *is_new* if the device didn't have it in any form before."""

    image: Image
    is_new: bool


@dataclass(slots=True)
class Transfer:
    """A transfer that goes on. *asked* is the loop's time; *is_answered* once its registry was."""

    asked: float
    is_answered: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """How one check went."""

    passed: bool
    output: str = ""


class Runtime(Protocol):
    """A container runtime. Everything it is asked to bring about may already be so."""

    @property
    def name(self) -> str:
        """How the inventory calls this runtime."""

    def vouch(self, former: frozenset[DeviceId]) -> None:
        """Take containers of the ids that this device had before for ours."""

    async def version(self) -> str:
        """Ask the runtime for its version."""

    async def observe(self, deployment: DeploymentName | None = None) -> tuple[Container, ...]:
        """List our containers, of *deployment* or of all, sorted by name."""

    async def fetch(self, image: str, policy: scores.PullPolicy) -> Fetched | None:
        """
        Have *image* on the device as *policy* says. Cancelling it breaks the transfer off.

        Returns what was transferred; None where the device had it.

        :raises errors.ImageNotFound: the registry, or with `Never` the device, doesn't have it.
        :raises errors.RegistryUnauthorized: the registry refuses the credentials.
        :raises errors.InvalidImage: *image* isn't a reference.
        :raises errors.DiskFull: there is no space left on the device.
        :raises errors.ImagePullFailed: anything else.
        """

    def transfer(self, image: str) -> Transfer | None:
        """Tell how a transfer of *image* goes; None where none goes on."""

    async def images(self) -> tuple[Image, ...]:
        """List all images on the device, whosever they are."""

    async def image_id(self, reference: str) -> str:
        """Look up the id of the image that *reference* names; "" where there is none."""

    async def remove_image(self, image: Image) -> None:
        """
        Remove an image with its names; one that a container uses stays.

        :raises errors.ContainerFailed: it could not be removed.
        """

    async def check(self, workload: Workload) -> None:
        """
        See whether *workload* may be made on this device, before anything is changed for it.

        :raises errors.HostPathForbidden: it mounts what is the agent's own.
        :raises errors.HostPathUnavailable: the file system of what it mounts doesn't answer.
        :raises errors.AddressUnavailable: a port can't be published on its address.
        :raises errors.NameTaken: a network that isn't ours bears the name of its deployment's.
        """

    async def create(self, workload: Workload) -> None:
        """
        Make the container of *workload*, without starting it.

        :raises errors.ImageNotFound: the image is gone from the device.
        :raises errors.NameTaken: a container, or a network, that isn't ours bears the name.
        :raises errors.NetworkUnavailable: the network of its deployment can't be made.
        :raises errors.HostPathForbidden: it mounts what is the agent's own.
        :raises errors.HostPathUnavailable: the file system of what it mounts doesn't answer.
        :raises errors.HostPathMissing: a directory to mount isn't there.
        :raises errors.CapabilityUnavailable: the device can't give a capability.
        :raises errors.LimitUnavailable: the device can't enforce a limit.
        :raises errors.ContainerFailed: anything else.
        """

    async def start(self, container: str) -> None:
        """
        Start a container by its name.

        :raises errors.PortInUse: something else holds a port.
        :raises errors.AddressUnavailable: the device doesn't have the address of a port.
        :raises errors.PortForbidden: the runtime may not open so low a port.
        :raises errors.ContainerFailed: anything else, such as a command that doesn't exist.
        """

    async def restart(self, container: str) -> None:
        """
        Stop, with its time to end, and start a container that runs, by its name.

        :raises errors.ContainerFailed: it isn't ours, or could not be restarted.
        """

    async def probe(self, container: str, within: float) -> Result:
        """
        Run the health check of a container once; taking longer than *within* seconds fails it.

        One that doesn't end by then is ended where the agent may do that, and
        no other is begun meanwhile.

        :raises errors.ContainerFailed: it could not be run, which says nothing of the service.
        """

    async def remove(self, container: str) -> None:
        """
        Stop, with its time to end, and remove a container by its name.

        :raises errors.NameTaken: the container of that name isn't ours.
        :raises errors.ContainerInUse: one that isn't ours depends on it; it was not stopped.
        :raises errors.ContainerFailed: it could not be removed.
        """

    async def release(self, deployment: DeploymentName) -> None:
        """
        Remove what the services of *deployment* share besides volumes: their network.

        One that a container still uses, whosever it is, stays.
        """

    async def shared(self) -> frozenset[DeploymentName]:
        """List the deployments of which there is something to `release`."""

    async def sweep(self) -> None:
        """Remove what is left on the device of containers that went without us: their files."""

    def changes(self) -> AsyncGenerator[DeploymentName | None, None]:
        """
        Say "look again": at one deployment, or, with None, at all.

        Raises `errors.RuntimeUnavailable` when the stream breaks; what happened
        until it is opened again goes unsaid.
        """
