"""Makes containers, with all that was asked for, or not at all."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from fleet import errors
from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman.api import answers, error_messages, forwarding
from fleet.agent.runtimes.podman.api.client import Request
from fleet.agent.runtimes.podman.api.devices import Devices
from fleet.agent.runtimes.podman.api.lookup import Lookup
from fleet.agent.runtimes.podman.api.networks import Networks
from fleet.agent.runtimes.podman.api.removal import Removal
from fleet.agent.runtimes.podman.api.specification import Given, left_out, specification
from fleet.agent.runtimes.podman.file_store import FileStore
from fleet.contracts import scores
from fleet.contracts.names import DeviceId

_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Usual:
    """What the device gives each container: see `runtime.Options`."""

    device_id: DeviceId
    ulimits: Mapping[str, int]
    stop_timeout: int
    log_max_size: int


class Creation:
    """Asks podman for containers. Blocks; runs in a thread."""

    def __init__(
        self,
        usual: Usual,
        *,
        lookup: Lookup,
        networks: Networks,
        devices: Devices,
        files: FileStore,
        removal: Removal,
        request: Request,
    ) -> None:
        self._usual = usual
        self._lookup = lookup
        self._networks = networks
        self._devices = devices
        self._files = files
        self._removal = removal
        self._request = request

    def check_network(self, workload: Workload) -> None:
        """
        See whether *workload* can have its deployment's network, before anything is touched.

        :raises errors.NameTaken: a network of that name isn't ours.
        :raises errors.AddressUnavailable: a port's address can't be forwarded from.
        """
        try:
            network = self._networks.check(workload.deployment)
        except errors.NameTaken:
            self._lookup.find(workload.name)  # what is to be done about a container comes first
            raise
        if forwarding.needs_ipv6(workload.service):
            forwarding.check(workload.service, network, self._request)

    def create(self, workload: Workload) -> None:
        """
        Make the container of *workload*, in the place of what was left half-made.

        :raises errors.FleetError: why it can't be; then nothing of it is left.
        """
        if workload.service.network_mode is scores.NetworkMode.BRIDGE:
            self._networks.ensure(workload.deployment)
        try:
            self._make(workload)
        except errors.NameTaken:
            if not self._removal.remove_leftover(workload.name):
                raise
            self._make(workload)

    def _make(self, workload: Workload) -> None:
        service = workload.service
        with self._devices.claimed(workload) as (nodes, devices):
            kept = self._files.write(service.files, element=service.name)
            paths = (str(self._files.path(kept, n)) for n in range(len(service.files)))
            try:
                container_id = self._post(workload, Given(nodes, devices, tuple(paths), kept))
                self._insist(service, container_id)
            except errors.RuntimeUnavailable:
                raise  # it may have been made all the same
            except errors.FleetError:
                self._files.remove(kept)
                raise
            finally:
                self._files.settled(kept)

    def _post(self, workload: Workload, given: Given) -> str:
        body = json.dumps(
            specification(
                workload,
                self._usual.device_id,
                ulimits=self._usual.ulimits,
                stop_timeout=self._usual.stop_timeout,
                log_max_size=self._usual.log_max_size,
                given=given,
            )
        )
        response = self._request("POST", "/containers/create", data=body, headers=_JSON)
        if response.status_code >= answers.CLIENT_ERROR:
            error = error_messages.of_create(
                answers.complaint(response), element=workload.service.name
            )
            if isinstance(error, errors.NameTaken):
                self._lookup.find(workload.name)  # raises one that says whose it is
            raise error
        return str(answers.content(response)["Id"])

    def _insist(self, service: scores.Service, container_id: str) -> None:
        """Remove a new container again that lacks what podman left out without a word."""
        if not (service.capabilities.add or service.resources != scores.Resources()):
            return
        details = answers.content(self._request("GET", f"/containers/{container_id}/json"))
        error = left_out(service, details)
        if error is not None:
            self._request("DELETE", f"/containers/{container_id}", params={"v": "true"})
            raise error
