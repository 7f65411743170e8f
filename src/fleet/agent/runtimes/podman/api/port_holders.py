"""Which container has a port that another one wants, by podman's listing of all of them. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from fleet.agent.runtimes.podman.api import translation
from fleet.contracts import containers
from fleet.contracts.names import DeviceId
from fleet.contracts.scores import Port

_WITHOUT_PORTS = frozenset({"created", "configured", "initialized", "exited", "stopped"})


def wanted(rows: Iterable[Mapping[str, Any]], container: str) -> tuple[Port, ...]:
    """List the ports that the container of that name publishes."""
    return next((translation.ports(r) for r in rows if container in r.get("Names", ())), ())


def holder(
    rows: Iterable[Mapping[str, Any]], container: str, port: Port, device_id: DeviceId
) -> str:
    """Name another container that has *port*, and whose it is; "" where none has it."""
    for row in rows:
        names = row.get("Names") or ["without a name"]
        if container in names or row.get("State") in _WITHOUT_PORTS:
            continue
        if any(port.collides(other) for other in translation.ports(row)):
            return _described(row.get("Labels") or {}, str(names[0]), device_id)
    return ""


def _described(labels: Mapping[str, str], name: str, device_id: DeviceId) -> str:
    if labels.get(containers.LABEL_DEVICE) != device_id:
        return f"container {name}, which is not Fleet's"
    return f"deployment {labels.get(containers.LABEL_DEPLOYMENT)} (container {name})"
