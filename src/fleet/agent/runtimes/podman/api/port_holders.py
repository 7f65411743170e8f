"""Which container has a port that another one wants, by podman's listing of all of them. Pure."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from fleet.agent.runtimes.podman.api import translation
from fleet.contracts import containers
from fleet.contracts.names import DeviceId
from fleet.contracts.scores import Port

_ENDED = frozenset({"exited", "stopped"})
_WITHOUT_PORTS = _ENDED | {"created", "configured", "initialized"}
# Its service holds ports itself after a start that failed.
_PODMANS = ("(conmon)", "(rootlessport)", "(podman)")


def wanted(rows: Iterable[Mapping[str, Any]], container: str) -> tuple[Port, ...]:
    """List the ports that the container of that name publishes."""
    return next((translation.ports(r) for r in rows if container in translation.names(r)), ())


def holder(
    rows: Iterable[Mapping[str, Any]],
    container: str,
    port: Port,
    ids: Collection[DeviceId],
    *,
    is_starting: bool = False,
) -> str:
    """
    Name another container that has *port*, and whose it is; "" where none has it.

    *ids* are those that this device has and had. Podman binds the ports of one that *is_starting*
    before it says that it runs.
    """
    for row in rows:
        has_none = translation.state(row) in (_ENDED if is_starting else _WITHOUT_PORTS)
        if has_none or container in translation.names(row):
            continue
        if any(port.collides(other) for other in translation.ports(row)):
            return _described(row, ids)
    return ""


def of_process(
    rows: Iterable[Mapping[str, Any]], lineage: Collection[int], ids: Collection[DeviceId]
) -> str:
    """Name the container that a process runs in: one in the host's network publishes nothing."""
    found = (row for row in rows if row.get("Pid") and row["Pid"] in lineage)
    return next((_described(row, ids) for row in found), "")


def is_podmans(words: str) -> bool:
    """Tell whether a process in such words holds ports for containers."""
    return words.endswith(_PODMANS)


def _described(row: Mapping[str, Any], ids: Collection[DeviceId]) -> str:
    name = next(iter(translation.names(row)), "without a name")
    labels = translation.labels(row)
    device, deployment = (
        labels.get(containers.LABEL_DEVICE),
        labels.get(containers.LABEL_DEPLOYMENT),
    )
    if not device:
        return f"container {name}, which is not Fleet's"
    whose = "" if device in ids else f" of device {device}"
    return f"deployment {deployment}{whose} (container {name})"
