"""Starts containers, and says why one can't be: podman's own words mislead after a failure."""

from fleet import errors
from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman.api import answers, error_messages
from fleet.agent.runtimes.podman.api.client import Request
from fleet.agent.runtimes.podman.api.lookup import Lookup
from fleet.agent.runtimes.podman.api.networks import Networks
from fleet.agent.runtimes.podman.api.removal import Removal
from fleet.agent.runtimes.podman.api.taken_ports import TakenPorts


class Starts:
    """Asks podman for starts and restarts. Blocks; runs in a thread."""

    def __init__(
        self,
        lookup: Lookup,
        networks: Networks,
        removal: Removal,
        taken_ports: TakenPorts,
        request: Request,
        *,
        timeout: float,
    ) -> None:
        self._lookup = lookup
        self._networks = networks
        self._removal = removal
        self._taken_ports = taken_ports
        self._request = request
        self._timeout = timeout
        self._failed: dict[str, str] = {}
        self._made: dict[str, str] = {}  # the digest with which a name was created last

    def made(self, workload: Workload) -> None:
        """Take note of a container that was made: of another digest, it hasn't failed yet."""
        if self._made.get(workload.name) != workload.digest:
            self._failed.pop(workload.name, None)
        self._made[workload.name] = workload.digest

    def start(self, container: str, *, again: bool = True) -> None:
        """
        Start one; *again* once its network, if that was gone, is there again.

        :raises errors.FleetError: why it can't be.
        """
        response = self._request("POST", f"/containers/{container}/start")
        if response.status_code < answers.CLIENT_ERROR:
            self._failed.pop(container, None)
            return
        complaint = answers.complaint(response)
        is_without = again and error_messages.is_without_network(complaint)
        if is_without and self._networks.renew(container):
            self.start(container, again=False)
            return
        error = error_messages.of_start(complaint, element=container)
        if isinstance(error, errors.PortInUse) and container in self._failed:
            raise errors.ContainerFailed(self._failed[container], element=container)
        if not isinstance(error, errors.PortInUse):
            self._failed[container] = str(error)
            raise error
        raise self._taken_ports.error(container) or error

    def restart(self, container: str) -> None:
        """
        End it in its own time, and start it.

        :raises errors.FleetError: why it can't be.
        """
        details = self._lookup.find(container)
        if details is None:
            raise errors.ContainerFailed(f"{container} is gone", element=container)
        path = f"/containers/{details['Id']}/restart"
        grace = self._removal.grace(details)
        # Without being told, it gives none, whatever the container's own time is.
        params = {"timeout": str(grace)}
        timeout = grace + self._timeout
        response = self._request("POST", path, params=params, timeout=timeout)
        if response.status_code >= answers.CLIENT_ERROR:
            error = error_messages.of_start(answers.complaint(response), element=container)
            taken = (
                self._taken_ports.error(container) if isinstance(error, errors.PortInUse) else None
            )
            raise taken or error
