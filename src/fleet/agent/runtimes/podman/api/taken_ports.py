"""
Who has a port that a container could not get, as far as podman and the kernel tell. Blocks.

In this order: a container that runs, the container whose process listens, another process. Where
that process is podman, or none can be seen, a container that wants the port and hasn't started: for
a while podman holds what it took for one.
"""

from fleet import errors
from fleet.agent.runtimes.podman.api import answers, error_messages, port_holders
from fleet.agent.runtimes.podman.api.client import Request
from fleet.agent.system import listeners
from fleet.contracts.names import DeviceId

_PODMAN = "podman"


def explain(container: str, request: Request, device_id: DeviceId) -> errors.FleetError | None:
    """Find out who has a port of *container*; None where that can't be seen."""
    listing = request("GET", "/containers/json", params={"all": "true"})
    if listing.status_code >= answers.CLIENT_ERROR:
        return None
    rows = answers.rows(listing)
    for port in port_holders.wanted(rows, container):
        holder = port_holders.holder(rows, container, port, device_id)
        listener = None if holder else listeners.find(port.host, str(port.protocol))
        if listener is not None:
            lineage = listeners.lineage(listener.pid)
            holder = port_holders.of_process(rows, lineage, device_id)
        if not holder and (listener is None or listener.is_called(_PODMAN)):
            holder = port_holders.claimant(rows, container, port, device_id)
        if holder := holder or (listener.words if listener is not None else ""):
            told = f"{port.host}/{port.protocol}"
            return error_messages.taken(told, holder, element=container)
    return None
