"""Between the port's values and podman's JSON. Pure."""

from collections.abc import Mapping
from typing import Any

from fleet import errors
from fleet.agent.pruning import Image
from fleet.agent.runtimes.port import Container, Status, Workload
from fleet.contracts import containers, scores
from fleet.contracts.names import DeploymentName, DeviceId

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
        )
    except (KeyError, ValueError):
        return None
    return found if found.name in raw.get("Names", ()) else None


def image(raw: Mapping[str, Any]) -> Image:
    """Read one row of the listing of images."""
    return Image(
        str(raw["Id"]),
        frozenset(raw.get("Names") or ()),
        int(raw.get("Size") or 0),
        is_used=bool(raw.get("Containers")),
        is_shared=bool(raw.get("ReadOnly")),
    )


def specification(
    workload: Workload, device_id: DeviceId, *, ulimits: Mapping[str, int], stop_timeout: int
) -> dict[str, Any]:
    """Spell *workload* for podman's create."""
    service = workload.service
    body: dict[str, Any] = {
        "name": workload.name,
        "image": service.image,
        "env": dict(service.env),
        "labels": _labels(workload, device_id),
        "netns": {"nsmode": str(service.network_mode)},
        "restart_policy": "no",
        "stop_timeout": stop_timeout,
    }
    if service.command:
        body["entrypoint"] = list(service.command)
    if service.args:
        body["command"] = list(service.args)
    if service.ports:
        body["portmappings"] = [_port(port) for port in service.ports]
    if service.healthcheck:
        body["healthconfig"] = _health(service.healthcheck)
    if ulimits:
        body["r_limits"] = [
            {"type": name, "soft": value, "hard": value} for name, value in ulimits.items()
        ]
    return body


def _labels(workload: Workload, device_id: DeviceId) -> dict[str, str]:
    return {
        containers.LABEL_DEVICE: str(device_id),
        containers.LABEL_DEPLOYMENT: str(workload.deployment),
        containers.LABEL_SERVICE: workload.service.name,
        containers.LABEL_DIGEST: workload.digest,
        containers.LABEL_RESTART_POLICY: str(workload.service.restart_policy),
    }


def _health(check: scores.Healthcheck) -> dict[str, Any]:
    """Spell a check. Without an interval podman leaves the timing to us, also where it could."""
    return {
        "Test": ["CMD", *check.command],
        "Interval": 0,
        "Timeout": check.timeout * 10**9,
        "Retries": check.retries,
        "StartPeriod": check.start_period * 10**9,
    }


def _port(port: scores.Port) -> dict[str, Any]:
    return {
        "host_ip": port.host_ip,
        "host_port": port.host,
        "container_port": port.container,
        "protocol": str(port.protocol),
    }
