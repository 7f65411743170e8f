"""From podman's JSON to the port's values. Pure."""

from collections.abc import Mapping
from typing import Any

from fleet import errors
from fleet.agent.runtimes.port import Container, Image, Status
from fleet.contracts import containers, scores
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


_MOST_PORTS = 1 << 16


def deployment_of_event(event: Mapping[str, Any]) -> DeploymentName | None:
    """Read whose container an event is about; None where it doesn't say."""
    labels = (event.get("Actor") or {}).get("Attributes") or {}
    try:
        return DeploymentName(labels.get(containers.LABEL_DEPLOYMENT, ""))
    except errors.InvalidName:
        return None


def container(raw: Mapping[str, Any], image: str) -> Container | None:
    """Read one row of the listing; None for a container that only looks like one of ours."""
    labels = raw.get("Labels") or {}
    try:
        found = Container(
            deployment=DeploymentName(labels[containers.LABEL_DEPLOYMENT]),
            service=labels[containers.LABEL_SERVICE],
            digest=labels[containers.LABEL_DIGEST],
            id=raw["Id"],
            status=_STATUS.get(raw["State"], Status.BROKEN),
            restart_policy=scores.RestartPolicy(
                labels.get(containers.LABEL_RESTART_POLICY, scores.RestartPolicy.ALWAYS)
            ),
            exit_code=int(raw.get("ExitCode") or 0),
            image=image,
            started=max(0, int(raw.get("StartedAt") or 0)),
            finished=max(0, int(raw.get("ExitedAt") or 0)),
            health=str(raw.get("Status") or ""),
            ports=ports(raw),
        )
    except (KeyError, ValueError):
        return None
    return found if found.name in raw.get("Names", ()) else None


def ports(raw: Mapping[str, Any]) -> tuple[scores.Port, ...]:
    """Read the published ports of one row of the listing; podman tells neighbours as a range."""
    return tuple(
        scores.Port(
            host=int(each["host_port"]) + step,
            container=int(each["container_port"]) + step,
            protocol=scores.Protocol(protocol),
            host_ip=str(each.get("host_ip") or ""),
        )
        for each in raw.get("Ports") or ()
        for protocol in str(each.get("protocol") or scores.Protocol.TCP).split(",")
        if protocol in set(scores.Protocol)
        for step in range(min(int(each.get("range") or 1), _MOST_PORTS))
    )


def image(raw: Mapping[str, Any]) -> Image:
    """Read one row of the listing of images."""
    return Image(
        str(raw["Id"]),
        frozenset(raw.get("Names") or ()),
        int(raw.get("Size") or 0),
        is_used=bool(raw.get("Containers")),
        is_shared=bool(raw.get("ReadOnly")),
    )
