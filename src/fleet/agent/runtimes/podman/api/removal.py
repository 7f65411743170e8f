"""
How containers of ours go: what may be removed, and what has to be known before one is stopped.

Each of these was seen on 4.3.1:

* A container that another one depends on (``podman run --network container:…``) can be stopped
  and not be removed. podman says so only after the stop, and tells it by no listing: the other
  one's inspection names it. So that is asked first, of every container that isn't ours.
* A podman that is killed while it creates a container leaves its storage, which holds the name.
  It is no container to podman, has no labels, and ``ps --external`` alone shows it.
* Removing one by force that is being stopped lets its processes run on, unseen. So it is removed
  only once its stop has ended.
"""

import json
from collections.abc import Mapping
from typing import Any

import structlog

from fleet import errors
from fleet.agent.runtimes.podman.api import answers, error_messages, translation
from fleet.agent.runtimes.podman.api.client import Request
from fleet.agent.runtimes.podman.api.lookup import Lookup
from fleet.agent.runtimes.podman.file_store import FileStore
from fleet.contracts import containers

log = structlog.get_logger(__name__)

# podman's words for storage that belongs to no container of its own, nor to a build.
_LEFTOVER_STATE = "storage"
_LEFTOVER_COMMAND = ["storage"]

_STOPPING = "stopping"

_WITH_FILES = {"all": "true", "filters": json.dumps({"label": [containers.LABEL_FILES]})}
_AT_ONCE = {"force": "true", "timeout": "0", "volumes": "true"}


class Removal:
    """
    Removes containers of ours. Blocks; runs in a thread.

    Those that don't say how long a stop may take get *stop_timeout* seconds; podman has
    *timeout* more to answer. The *files* of a container go with it.
    """

    def __init__(
        self,
        lookup: Lookup,
        request: Request,
        *,
        stop_timeout: int,
        timeout: float,
        files: FileStore,
    ) -> None:
        self._lookup = lookup
        self._request = request
        self._stop_timeout = stop_timeout
        self._timeout = timeout
        self._files = files

    def grace(self, details: Any) -> int:
        """Tell the container's own time to end, which podman gives it."""
        told = details["Config"].get("StopTimeout")
        return told if isinstance(told, int) else self._stop_timeout

    def remove(self, container: str) -> None:
        """Stop and remove it, unless another one depends on it: `Runtime.remove`."""
        details = self._lookup.find(container)
        if details is None:
            return
        container_id = str(details["Id"])
        dependents = self._dependents(container_id)
        if dependents:
            raise error_messages.in_use(container, dependents)
        # One that can't be stopped (not running, paused) is removed by force.
        path = f"/containers/{container_id}/stop"
        stopped = self._request("POST", path, timeout=self.grace(details) + self._timeout)
        if stopped.status_code >= answers.SERVER_ERROR and self._is_stopping(container_id):
            raise errors.ContainerFailed(answers.complaint(stopped), element=container)
        # With it go the nameless volumes that its image asks for; named ones stay.
        gone = self._request("DELETE", f"/containers/{container_id}", params=_AT_ONCE)
        if answers.is_refusal(gone):
            raise errors.ContainerFailed(answers.complaint(gone), element=container)
        labels = details["Config"].get("Labels") or {}
        self._files.remove(str(labels.get(containers.LABEL_FILES, "")))

    def sweep(self) -> None:
        """Remove the files of containers that are gone; of any id that this device ever had."""
        self._files.sweep(self._kept_files)

    def remove_leftover(self, container: str) -> bool:
        """
        Remove what a creation left that podman was killed in; False where there is no such thing.

        Nobody can run it or look into it, and names like ours are what we alone create.
        """
        params = {"all": "true", "external": "true"}
        listing = answers.rows(self._request("GET", "/containers/json", params=params))
        for row in listing:
            if _is_leftover(row) and container in translation.names(row):
                log.warning("half-made container", container=container, id=row.get("Id"))
                path = f"/containers/{row.get('Id')}"
                return not answers.is_refusal(self._request("DELETE", path, params=_AT_ONCE))
        return False

    def _kept_files(self) -> set[str]:
        rows = answers.rows(self._request("GET", "/containers/json", params=_WITH_FILES))
        return {translation.labels(row).get(containers.LABEL_FILES, "") for row in rows}

    def _is_stopping(self, container_id: str) -> bool:
        details = answers.lenient(self._request("GET", f"/containers/{container_id}/json"))
        return translation.status(details) == _STOPPING

    def _dependents(self, container_id: str) -> tuple[str, ...]:
        """Name the containers that depend on one of ours; ours depend on none."""
        rows = answers.rows(self._request("GET", "/containers/json", params={"all": "true"}))
        strangers = (row for row in rows if translation.container(row, "") is None)
        return tuple(
            next(iter(translation.names(row)), str(row.get("Id")))
            for row in strangers
            if self._depends(row, container_id)
        )

    def _depends(self, row: Mapping[str, Any], container_id: str) -> bool:
        details = answers.lenient(self._request("GET", f"/containers/{row.get('Id')}/json"))
        return container_id in translation.dependencies(details)


def _is_leftover(row: Mapping[str, Any]) -> bool:
    is_storage = translation.state(row) == _LEFTOVER_STATE
    return is_storage and row.get("Command") == _LEFTOVER_COMMAND
