"""
Containers of ours, looked up: in podman's listing, or one by its name.

A power cut amid a removal leaves a container without its storage (seen on 4.3.1): it can't be
inspected or started any more, yet podman lists it, and removes it by force.
"""

import json
from collections.abc import Mapping
from typing import Any

import structlog

from fleet import errors
from fleet.agent.runtimes.podman.api import answers, error_messages, translation
from fleet.agent.runtimes.podman.api.client import Request
from fleet.contracts import containers
from fleet.contracts.names import DeviceId

log = structlog.get_logger(__name__)


class Lookup:
    """What podman knows of this device's containers. Blocks; runs in a thread."""

    def __init__(self, device_id: DeviceId, request: Request) -> None:
        self._device_id = device_id
        self._request = request
        self.ids = frozenset([device_id])
        """the device's id, and those that it had before"""

    def vouch(self, former: frozenset[DeviceId]) -> None:
        """Take for ours, too, what bears a *former* id of this device."""
        self.ids = former | {self._device_id}

    def listing(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """List the containers of ours that have *labels* besides, in whatever state."""
        wanted = [self._own_label(), *(f"{name}={value}" for name, value in labels.items())]
        params = {"all": "true", "filters": json.dumps({"label": wanted})}
        rows = answers.rows(self._request("GET", "/containers/json", params=params))
        return [r for r in rows if translation.labels(r).get(containers.LABEL_DEVICE) in self.ids]

    def find(self, container: str) -> Any:
        """
        Look a container of ours up; None where there is none.

        What is then done is done by its id: another may take the name meanwhile.
        """
        found = self._request("GET", f"/containers/{container}/json")
        if found.status_code == answers.NOT_FOUND:
            return None
        if found.status_code >= answers.SERVER_ERROR:
            return self._damaged(container, answers.complaint(found))
        details = answers.content(found)
        labels = details["Config"].get("Labels") or {}  # null where there is none
        holder = labels.get(containers.LABEL_DEVICE)
        if holder not in self.ids:
            raise error_messages.name_taken(container, str(holder or ""), self._device_id)
        return details

    def _own_label(self) -> str:
        """Spell the filter for containers of ours; podman can't say "one of these"."""
        if len(self.ids) > 1:
            return containers.LABEL_DEVICE
        return f"{containers.LABEL_DEVICE}={self._device_id}"

    def _damaged(self, container: str, complaint: str) -> Any:
        """Look a container of ours up that podman can't inspect."""
        for listed in self.listing({}):
            if container in (listed.get("Names") or ()):
                log.warning("damaged container", container=container, error=complaint)
                return {"Id": listed["Id"], "Config": {}}
        raise errors.RuntimeUnavailable(f"podman: {complaint}", element="podman")
