"""
From podman's JSON to the port's values. Pure.

A row that isn't understood is left out, and a field that isn't counts as unknown: neither raises,
since the rows beside it are other deployments' and other people's.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fleet import errors
from fleet.agent.runtimes.podman import device_claims
from fleet.agent.runtimes.port import Container, Image, Status
from fleet.contracts import containers, scores
from fleet.contracts.container_fields import DeviceNode
from fleet.contracts.names import DeploymentName

_STATUS = {
    "created": Status.CREATED,
    "configured": Status.CREATED,
    "initialized": Status.CREATED,
    "running": Status.RUNNING,
    "stopping": Status.STOPPING,
    "exited": Status.EXITED,
    "stopped": Status.EXITED,
    "paused": Status.PAUSED,
}


_TELLING = frozenset({"died", "remove", "pause", "unpause", "stop", "rename"})
_ID = re.compile(r"[0-9A-Za-z:]+")
# Whoever asks whether a service succeeded isn't told that it did.
_UNKNOWN_EXIT = -1
_HIGHEST_PORT = 65535


def tells(event: Any) -> bool:
    """Tell whether an event is one after which a container has to be looked at."""
    if not isinstance(event, dict):
        return False
    action = event.get("Action", event.get("status"))
    return isinstance(action, str) and action in _TELLING


def deployment_of_event(event: Mapping[str, Any]) -> DeploymentName | None:
    """Read whose container an event is about; None where it doesn't say."""
    labels = _object(_object(event.get("Actor")).get("Attributes"))
    try:
        return DeploymentName(_text(labels.get(containers.LABEL_DEPLOYMENT)))
    except errors.InvalidName:
        return None


def container(
    raw: Mapping[str, Any], image: str, *, out_of_memory: bool = False
) -> Container | None:
    """Read one row of the listing; None for a container that only looks like one of ours."""
    told = labels(raw)
    try:
        found = Container(
            deployment=DeploymentName(told[containers.LABEL_DEPLOYMENT]),
            service=told[containers.LABEL_SERVICE],
            digest=told[containers.LABEL_DIGEST],
            id=_text(raw.get("Id")),
            status=_STATUS.get(state(raw), Status.BROKEN),
            restart_policy=scores.RestartPolicy(
                told.get(containers.LABEL_RESTART_POLICY, scores.RestartPolicy.ALWAYS)
            ),
            exit_code=_whole(raw.get("ExitCode"), unknown=_UNKNOWN_EXIT),
            out_of_memory=out_of_memory,
            image=image,
            started=max(0, _whole(raw.get("StartedAt"))),
            finished=max(0, _whole(raw.get("ExitedAt"))),
            health=_text(raw.get("Status")),
            ports=ports(raw) if raw.get("Ports") else (),
            devices=_devices(told),
        )
    except (KeyError, ValueError):
        return None
    return found if found.id and found.name in names(raw) else None


def _devices(told: Mapping[str, str]) -> tuple[DeviceNode, ...]:
    return tuple(DeviceNode(path=c.path, shared=c.shared) for c in device_claims.read(told))


def failed_at(raw: Mapping[str, Any]) -> int | None:
    """Read when a container ended with an error; None for one that didn't, or that has no id."""
    is_dead = _STATUS.get(state(raw)) is Status.EXITED and _ID.fullmatch(_text(raw.get("Id")))
    return _whole(raw.get("ExitedAt")) if is_dead and raw.get("ExitCode") else None


def status(details: Any) -> str:
    """Read the state of a container, in podman's word, from its inspection."""
    return _text(_object(_object(details).get("State")).get("Status"))


def is_out_of_memory(details: Any) -> bool:
    """Read from its inspection whether a container ended for want of memory."""
    return _object(_object(details).get("State")).get("OOMKilled") is True


def names(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the names of a container or an image; none where they aren't said as texts."""
    listed = raw.get("Names")
    return tuple(filter(None, map(_text, listed if isinstance(listed, list) else ())))


def state(raw: Mapping[str, Any]) -> str:
    """Read the state of a container, in podman's word."""
    return _text(raw.get("State"))


def labels(raw: Mapping[str, Any], key: str = "Labels") -> dict[str, str]:
    """Read the labels of a container; those of a network stand at another *key*."""
    return {name: _text(value) for name, value in _object(raw.get(key)).items()}


def ports(raw: Mapping[str, Any]) -> tuple[scores.Port, ...]:
    """Read the published ports of one row of the listing; podman tells neighbours as a range."""
    listed = raw.get("Ports")
    rows = listed if isinstance(listed, list) else ()
    return tuple(port for row in rows if isinstance(row, dict) for port in _ports(row))


def dependencies(details: Any) -> frozenset[str]:
    """Read the ids of the containers without which one could not be, from its inspection."""
    listed = _object(details).get("Dependencies")
    return frozenset(map(_text, listed if isinstance(listed, list) else ()))


def image_id(raw: Mapping[str, Any]) -> str:
    """Read of which image a container is; "" where the row doesn't say it as an id."""
    found = _text(raw.get("ImageID"))
    return found if _ID.fullmatch(found) else ""


def image(raw: Mapping[str, Any]) -> Image | None:
    """Read one row of the listing of images; None for one without an id."""
    if not _text(raw.get("Id")):
        return None
    return Image(
        _text(raw["Id"]),
        frozenset(names(raw)),
        max(0, _whole(raw.get("Size"))),
        is_used=bool(raw.get("Containers")),
        is_shared=bool(raw.get("ReadOnly")),
    )


def digest(raw: Any) -> str:
    """Read the digest of an image; "" where that isn't said."""
    return _text(_object(raw).get("Digest"))


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _ports(row: Mapping[str, Any]) -> Iterator[scores.Port]:
    host, inside = _whole(row.get("host_port")), _whole(row.get("container_port"))
    if host < 1 or inside < 1:
        return
    beyond = _HIGHEST_PORT + 1 - max(host, inside)
    for protocol in (_text(row.get("protocol")) or scores.Protocol.TCP).split(","):
        if protocol in set(scores.Protocol):
            for step in range(min(max(1, _whole(row.get("range"))), beyond)):
                yield scores.Port(
                    host=host + step,
                    container=inside + step,
                    protocol=scores.Protocol(protocol),
                    host_ip=_text(row.get("host_ip")),
                )


def _text(value: Any) -> str:
    """Read a text; what could not be sent on, such as half a surrogate, is none."""
    return value if isinstance(value, str) and value.isascii() else ""


def _whole(value: Any, *, unknown: int = 0) -> int:
    """Read a whole number; nothing at all is 0."""
    if value is None:
        return 0
    return value if isinstance(value, int) else unknown
