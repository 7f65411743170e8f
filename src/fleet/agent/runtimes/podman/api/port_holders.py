"""Which container has a port that another one wants, by podman's listing of all of them. Pure."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from fleet.agent.runtimes.podman.api import translation
from fleet.contracts import containers
from fleet.contracts.names import DeviceId
from fleet.contracts.scores import Port

_WITHOUT_PORTS = frozenset({"created", "configured", "initialized", "exited", "stopped"})


def wanted(rows: Iterable[Mapping[str, Any]], container: str) -> tuple[Port, ...]:
    """List the ports that the container of that name publishes."""
    return next((translation.ports(r) for r in rows if container in translation.names(r)), ())


def holder(
    rows: Iterable[Mapping[str, Any]], container: str, port: Port, device_id: DeviceId
) -> str:
    """Name another container that has *port*, and whose it is; "" where none has it."""
    for row in rows:
        if container in translation.names(row) or translation.state(row) in _WITHOUT_PORTS:
            continue
        if any(port.collides(other) for other in translation.ports(row)):
            return _described(row, device_id)
    return ""


def of_process(
    rows: Iterable[Mapping[str, Any]], lineage: Collection[int], device_id: DeviceId
) -> str:
    """Name the container that a process runs in: one in the host's network publishes nothing."""
    found = (row for row in rows if row.get("Pid") and row["Pid"] in lineage)
    return next((_described(row, device_id) for row in found), "")


def _described(row: Mapping[str, Any], device_id: DeviceId) -> str:
    name = next(iter(translation.names(row)), "without a name")
    labels = translation.labels(row)
    if labels.get(containers.LABEL_DEVICE) != device_id:
        return f"container {name}, which is not Fleet's"
    return f"deployment {labels.get(containers.LABEL_DEPLOYMENT)} (container {name})"
