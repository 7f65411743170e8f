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
from fleet.agent.runtimes.podman.api import answers
from fleet.agent.runtimes.podman.api.client import Request
from fleet.contracts import containers
from fleet.contracts.names import DeviceId

log = structlog.get_logger(__name__)


class Lookup:
    """What podman knows of this device's containers. Blocks; runs in a thread."""

    def __init__(self, device_id: DeviceId, request: Request) -> None:
        self._device_id = device_id
        self._request = request

    def listing(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """List the containers of ours that have *labels* besides, in whatever state."""
        wanted = {containers.LABEL_DEVICE: self._device_id, **labels}
        filters = json.dumps({"label": [f"{name}={value}" for name, value in wanted.items()]})
        params = {"all": "true", "filters": filters}
        return answers.rows(self._request("GET", "/containers/json", params=params))

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
        if labels.get(containers.LABEL_DEVICE) != self._device_id:
            raise errors.NameTaken(f"{container} is not a container of Fleet", element=container)
        return details

    def _damaged(self, container: str, complaint: str) -> Any:
        """Look a container of ours up that podman can't inspect."""
        for listed in self.listing({}):
            if container in (listed.get("Names") or ()):
                log.warning("damaged container", container=container, error=complaint)
                return {"Id": listed["Id"], "Config": {}}
        raise errors.RuntimeUnavailable(f"podman: {complaint}", element="podman")
