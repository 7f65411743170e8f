"""Whether a container ended for want of memory: its inspection tells, podman's listing doesn't."""

from collections.abc import Mapping
from typing import Any

from fleet.agent.runtimes.podman.api import answers, translation
from fleet.agent.runtimes.podman.api.client import Request

_REMEMBERED = 1000  # more than a device has containers


class Deaths:
    """The last death of each container; each is asked about once. Blocks; runs in a thread."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._known: dict[str, tuple[int, bool]] = {}

    def is_out_of_memory(self, row: Mapping[str, Any]) -> bool:
        """Tell it of one row of the listing."""
        when = translation.failed_at(row)
        if when is None:
            return False
        container_id = str(row.get("Id"))
        known = self._known.get(container_id)
        if known is None or known[0] != when:
            details = answers.lenient(self._request("GET", f"/containers/{container_id}/json"))
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[container_id] = (when, translation.is_out_of_memory(details))
        return known[1]
