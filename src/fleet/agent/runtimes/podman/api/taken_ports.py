"""Find out who has a port that a container could not get: containers first, then processes."""

from typing import Any

from fleet import errors
from fleet.agent.runtimes.podman.api import answers, error_messages, port_holders
from fleet.agent.runtimes.podman.api.client import Request
from fleet.agent.runtimes.podman.api.lookup import Lookup
from fleet.agent.system import listeners
from fleet.contracts import scores


class TakenPorts:
    """Asks podman, and the kernel. Blocks; runs in a thread."""

    def __init__(self, lookup: Lookup, request: Request) -> None:
        self._lookup = lookup
        self._request = request

    def error(self, container: str) -> errors.FleetError | None:
        """Say who has a port of *container*; None where that can't be seen."""
        listing = self._request("GET", "/containers/json", params={"all": "true"})
        if listing.status_code >= answers.CLIENT_ERROR:
            return None
        rows = answers.rows(listing)
        for port in port_holders.wanted(rows, container):
            if holder := self._holder(rows, container, port):
                told = f"{port.host}/{port.protocol}"
                return error_messages.taken(told, holder, element=container)
        return None

    def _holder(self, rows: list[dict[str, Any]], container: str, port: scores.Port) -> str:
        ids = self._lookup.ids
        if holder := port_holders.holder(rows, container, port, ids):
            return holder
        listener = listeners.find(port.host, str(port.protocol))
        if listener is None or port_holders.is_podmans(listener.words):
            starting = port_holders.holder(rows, container, port, ids, is_starting=True)
            return starting or (listener.words if listener else "")
        lineage = listeners.lineage(listener.pid)
        return port_holders.of_process(rows, lineage, ids) or listener.words
