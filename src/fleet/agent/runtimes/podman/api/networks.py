"""
The network of each deployment, on which its services with ``networkMode: bridge`` find each other.

It is made with the first container that joins it, and goes once no container uses it: podman
itself refuses to remove one that is in use. As to the way out it is like podman's own network,
whose IPv6 and MTU the owner of the device may have set. Names are answered by aardvark-dns;
where that isn't installed, a network of podman's with names would give its containers a name server
that doesn't answer, before those of the device (seen on 4.3.1): so ours is made without names.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from fleet import errors
from fleet.agent.runtimes.podman.api import answers, error_messages, translation
from fleet.agent.runtimes.podman.api.client import Request
from fleet.agent.runtimes.podman.api.lookup import Lookup
from fleet.contracts import containers
from fleet.contracts.names import DeploymentName, DeviceId

log = structlog.get_logger(__name__)

USUAL = "podman"
"""the network of a container that asks for none"""

NAME_SERVERS = tuple(
    Path(directory, "podman/aardvark-dns")
    for directory in ("/usr/local/libexec", "/usr/local/lib", "/usr/libexec", "/usr/lib")
)
"""where podman looks for what answers names, unless its helper_binaries_dir says otherwise"""

_LIKE_USUAL = ("mtu",)  # options of that one which ours has, too
_TAKEN = 409
_JSON = {"Content-Type": "application/json"}


class Networks:
    """The networks of this device's deployments. Blocks; runs in a thread."""

    def __init__(self, device_id: DeviceId, lookup: Lookup, request: Request) -> None:
        self._device_id = device_id
        self._lookup = lookup
        self._request = request

    def check(self, deployment: DeploymentName) -> Any:
        """
        Look the network of *deployment* up; None where there is none yet.

        :raises errors.NameTaken: one of that name isn't ours.
        """
        name = containers.network_name(deployment)
        response = self._request("GET", f"/networks/{name}/json")
        if response.status_code == answers.NOT_FOUND:
            return None
        found = answers.content(response)
        holder = translation.labels(found, "labels").get(containers.LABEL_DEVICE)
        if holder not in self._lookup.ids:
            raise error_messages.network_taken(name, str(holder or ""))
        return found

    def ensure(self, deployment: DeploymentName) -> None:
        """
        Have the network of *deployment*.

        :raises errors.NameTaken: one of that name isn't ours.
        :raises errors.NetworkUnavailable: podman can't make it.
        """
        found = self.check(deployment)
        answers_names = any(path.exists() for path in NAME_SERVERS)
        if found is not None and not (answers_names and self._removed_nameless(deployment, found)):
            return
        name = containers.network_name(deployment)
        if not answers_names:
            log.warning("aardvark-dns is not installed: services find no names", network=name)
        body = json.dumps(
            {
                "name": name,
                "driver": "bridge",
                "dns_enabled": answers_names,
                "labels": {
                    containers.LABEL_DEVICE: str(self._device_id),
                    containers.LABEL_DEPLOYMENT: str(deployment),
                },
                **self._like_usual(),
            }
        )
        response = self._request("POST", "/networks/create", data=body, headers=_JSON)
        if response.status_code == _TAKEN and self.check(deployment) is not None:
            return  # a sibling was made at the same time
        if response.status_code >= answers.CLIENT_ERROR:
            raise error_messages.no_network(name, answers.complaint(response))
        log.info("network made", network=name)

    def renew(self, container: str) -> bool:
        """Have the network of *container*, which somebody removed beneath it; False if not ours."""
        details = self._lookup.find(container)
        deployment = None if details is None else _named(translation.labels(details["Config"]))
        if deployment is None:
            return False
        log.warning("the network of a container is gone", container=container)
        self.ensure(deployment)
        return True

    def release(self, deployment: DeploymentName) -> None:
        """Remove the network of *deployment*, unless it isn't ours or a container uses it."""
        name = containers.network_name(deployment)
        try:
            if self.check(deployment) is None:
                return
        except errors.NameTaken:
            return
        response = self._request("DELETE", f"/networks/{name}")
        if answers.is_refusal(response):
            log.warning("network not removed", network=name, error=answers.complaint(response))
            return
        log.info("network removed", network=name)

    def deployments(self) -> frozenset[DeploymentName]:
        """List the deployments of which there is a network of ours."""
        rows = answers.rows(self._request("GET", "/networks/json"))
        found = (self._deployment(row) for row in rows)
        return frozenset(deployment for deployment in found if deployment)

    def _removed_nameless(self, deployment: DeploymentName, found: Mapping[str, Any]) -> bool:
        """Remove one that was made before there was a name server, unless it is in use."""
        if found.get("dns_enabled") is not False:
            return False
        answer = self._request("DELETE", f"/networks/{containers.network_name(deployment)}")
        return bool(answer.status_code < answers.CLIENT_ERROR)

    def _deployment(self, row: Mapping[str, Any]) -> DeploymentName | None:
        labels = translation.labels(row, "labels")
        if labels.get(containers.LABEL_DEVICE) not in self._lookup.ids:
            return None
        deployment = _named(labels)
        if deployment is None or row.get("name") != containers.network_name(deployment):
            return None
        return deployment

    def _like_usual(self) -> dict[str, Any]:
        usual = answers.lenient(self._request("GET", f"/networks/{USUAL}/json"))
        if not isinstance(usual, Mapping):
            return {}
        told = usual.get("options")
        options = told if isinstance(told, Mapping) else {}
        return {
            "ipv6_enabled": usual.get("ipv6_enabled") is True,
            "options": {key: str(options[key]) for key in _LIKE_USUAL if key in options},
        }


def _named(labels: Mapping[str, str]) -> DeploymentName | None:
    try:
        return DeploymentName(labels.get(containers.LABEL_DEPLOYMENT, ""))
    except errors.InvalidName:
        return None
