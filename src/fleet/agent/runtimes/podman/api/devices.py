"""
Device nodes of containers: looked up before one is made or started, and had by one at a time.

podman gives a node to as many containers as ask. Who asks here first has it: the look at who has
what and the creation are one step (`claimed`), and a container has its nodes while it is there.
Blocks; runs in a thread.
"""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace

from fleet import errors
from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman import device_claims
from fleet.agent.runtimes.podman.api import answers, error_messages, translation
from fleet.agent.runtimes.podman.api.client import Request
from fleet.agent.runtimes.podman.device_claims import Claim, Row
from fleet.agent.runtimes.podman.device_nodes import DeviceNodes, Node
from fleet.agent.runtimes.port import Container
from fleet.contracts import containers
from fleet.contracts.names import DeploymentName

_FILTER = {"all": "true", "filters": json.dumps({"label": [containers.LABEL_DEVICES]})}


class Devices:
    """Says which nodes a container gets. *nodes* looks them up, *request* asks podman."""

    def __init__(self, nodes: DeviceNodes, request: Request) -> None:
        self._nodes = nodes
        self._request = request
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[Claim, ...]] = {}

    def check(self, workload: Workload) -> None:
        """
        See whether *workload* may have its nodes, once what it replaces is gone.

        :raises errors.DeviceMissing: one isn't there.
        :raises errors.DeviceForbidden: one isn't to be had.
        :raises errors.DeviceInUse: naming who has one.
        """
        if workload.service.devices:
            self._find(workload, beside=workload.deployment)

    @contextlib.contextmanager
    def claimed(self, workload: Workload) -> Iterator[tuple[tuple[str, ...], str]]:
        """
        Hold the nodes of *workload*, and the text of their label, while its container is made.

        :raises errors.FleetError: as `check`.
        """
        if not workload.service.devices:
            yield (), ""
            return
        with self._lock:
            nodes, claims = self._find(workload, beside=None)
            yield tuple(str(node.path) for node in nodes), device_claims.spell(claims)
            self._seen[workload.name] = claims

    def seen(self, container: Container, labels: Mapping[str, str]) -> Container:
        """Take note of a container that was listed; tell whether its nodes are others now."""
        claims = device_claims.read(labels)
        if not claims:
            self._seen.pop(container.name, None)
            return container
        self._seen[container.name] = claims
        if device_claims.is_renamed(container, claims, self._number_at):
            return replace(container, has_other_node=True)
        return container

    def has_any(self, container: str) -> bool:
        """Tell whether a container has any node, as far as it was seen."""
        return container in self._seen

    def check_again(self, container: str) -> None:
        """
        See whether the nodes of a container are there, before it is started.

        :raises errors.FleetError: as `check`, but for who has one.
        """
        for claim in self._seen.get(container, ()):
            self._nodes.at(claim.path, element=container)

    def forget(self, container: str) -> None:
        """Note that *container* is gone."""
        self._seen.pop(container, None)

    def _find(
        self, workload: Workload, *, beside: DeploymentName | None
    ) -> tuple[tuple[Node, ...], tuple[Claim, ...]]:
        name = workload.service.name
        nodes = tuple(self._nodes.find(each, element=name) for each in workload.service.devices)
        claims = tuple(
            Claim(wanted.path, node.number, wanted.shared)
            for wanted, node in zip(workload.service.devices, nodes, strict=True)
        )
        rows = self._rows()
        for claim in claims:
            holder = device_claims.holder(
                rows, claim, container=workload.name, beside=beside, number_at=self._number_at
            )
            if holder is not None:
                raise error_messages.device_taken(claim.path, holder, element=name)
        return nodes, claims

    def _rows(self) -> tuple[Row, ...]:
        """List who has any node."""
        listing = answers.rows(self._request("GET", "/containers/json", params=_FILTER))
        found = ((translation.container(raw, ""), raw) for raw in listing)
        return tuple(
            (container, device_claims.read(translation.labels(raw)))
            for container, raw in found
            if container is not None
        )

    def _number_at(self, path: str) -> str:
        try:
            return self._nodes.at(path).number
        except errors.FleetError:
            return ""
