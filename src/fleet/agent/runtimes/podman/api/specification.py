"""
How a service is spelt for podman's create (its *SpecGenerator*), on 4.3 and 5.x alike. Pure.

What a version would decide by itself is said outright, where versions differ:

* A health check has no interval: the agent times it, also where podman could
  (by systemd). A check that comes with the image is off, since nothing asked
  for it.
* With a read-only root, `SCRATCH` is writable memory that goes with the
  container. 4.3 does so in its command line only, 5.x by a field of its own.
* Memory includes swap: a limit that swap can stretch is none.
* The log of a container is bounded, where it is a file: by itself podman lets it fill the disk.
* A service with a network of its own joins that of its deployment, by its own name.
* A named volume bears its deployment in its name. The services of a deployment
  share it, it outlives them, and two teams' ``data`` are two volumes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fleet import errors
from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman.api import error_messages
from fleet.contracts import containers, quantities, scores
from fleet.contracts.container_fields import Tmpfs
from fleet.contracts.names import DeviceId

SCRATCH = ("/run", "/tmp", "/var/tmp")  # noqa: S108 - in the container

_CPU_PERIOD_MICROSECONDS = 100_000
_SECOND = 10**9


@dataclass(frozen=True, slots=True)
class Given:
    """What the device has ready for a container, in the order of its score."""

    nodes: tuple[str, ...] = ()
    devices: str = ""
    """the text of the label that tells the nodes"""
    files: tuple[str, ...] = ()
    kept: str = ""
    """the text of the label that tells where the files are kept"""


def specification(
    workload: Workload,
    device_id: DeviceId,
    *,
    ulimits: Mapping[str, int],
    stop_timeout: int,
    log_max_size: int = 0,
    given: Given = Given(),
) -> dict[str, Any]:
    """Spell *workload*. *ulimits*, *stop_timeout* and *log_max_size* are the device's own."""
    service = workload.service
    own = service.stop_timeout
    return _given(
        {
            "name": workload.name,
            "image": service.image,
            "env": dict(service.env),
            "labels": {**service.labels, **_labels(workload, device_id), **_own_labels(given)},
            "netns": {"nsmode": str(service.network_mode)},
            "Networks": _networks(workload),
            "restart_policy": "no",
            "stop_timeout": stop_timeout if own is None else own,
            "log_configuration": _log(_own_log(service) or log_max_size),
            "healthconfig": _health(service.healthcheck),
            "entrypoint": list(service.command),
            "command": list(service.args),
            "portmappings": [_port(port) for port in service.ports],
            "volumes": [_named(workload, volume) for volume in service.volumes if volume.name],
            "mounts": [*_mounts(service), *_files(service, given.files)],
            "devices": [
                {"path": f"{path}:{wanted.target}:{wanted.permissions}"}
                for path, wanted in zip(given.nodes, service.devices, strict=True)
            ],
            "resource_limits": _limits(service.resources),
            "user": service.user,
            "read_only_filesystem": service.read_only_rootfs,
            "cap_add": list(service.capabilities.add),
            "cap_drop": list(service.capabilities.drop),
            "hostname": service.hostname,
            "hostadd": [f"{each.hostname}:{each.ip}" for each in service.extra_hosts],
            "dns_server": list(service.dns),
            "sysctl": dict(service.sysctls),
            "shm_size": quantities.memory_bytes(service.shm_size) if service.shm_size else 0,
            "r_limits": [
                {"type": name, "soft": value, "hard": value} for name, value in ulimits.items()
            ],
        }
    )


def _given(body: dict[str, Any]) -> dict[str, Any]:
    """Leave out what says nothing; a time to end of 0 says something."""
    return {name: value for name, value in body.items() if value or name == "stop_timeout"}


def _labels(workload: Workload, device_id: DeviceId) -> dict[str, str]:
    return {
        containers.LABEL_DEVICE: str(device_id),
        containers.LABEL_DEPLOYMENT: str(workload.deployment),
        containers.LABEL_SERVICE: workload.service.name,
        containers.LABEL_DIGEST: workload.digest,
        containers.LABEL_RESTART_POLICY: str(workload.service.restart_policy),
    }


def _own_labels(given: Given) -> dict[str, str]:
    labels = {containers.LABEL_DEVICES: given.devices, containers.LABEL_FILES: given.kept}
    return {name: text for name, text in labels.items() if text}


def _networks(workload: Workload) -> dict[str, Any]:
    if workload.service.network_mode is not scores.NetworkMode.BRIDGE:
        return {}
    name = containers.network_name(workload.deployment)
    return {name: {"aliases": [workload.service.name]}}


def _log(max_size: int) -> dict[str, Any]:
    """Bound a log that is a file; which driver it goes to is podman's own setting."""
    return {"size": max_size} if max_size else {}


def _own_log(service: scores.Service) -> int:
    size = service.logs.max_size
    return quantities.memory_bytes(size) if size else 0


def _port(port: scores.Port) -> dict[str, Any]:
    return {
        # podman 4.3 takes connections to 0.0.0.0 and ::, and forwards none.
        "host_ip": "" if port.host_ip in scores.EVERY_ADDRESS else port.host_ip,
        "host_port": port.host,
        "container_port": port.container,
        "protocol": str(port.protocol),
    }


def _health(check: scores.Healthcheck | None) -> dict[str, Any]:
    if check is None:
        return {"Test": ["NONE"]}
    return {
        "Test": ["CMD", *check.command],
        "Interval": 0,
        "Timeout": check.timeout * _SECOND,
        "Retries": check.retries,
        "StartPeriod": check.start_period * _SECOND,
    }


def _named(workload: Workload, volume: scores.Volume) -> dict[str, Any]:
    return {
        "Name": containers.volume_name(workload.deployment, volume.name),
        "Dest": volume.mount_path,
        "Options": [_access(volume)],
    }


def _mounts(service: scores.Service) -> list[dict[str, Any]]:
    bound = [_bound(volume) for volume in service.volumes if volume.host_path]
    bound += [_in_memory(each) for each in service.tmpfs]
    if not service.read_only_rootfs:
        return bound
    taken = {volume.mount_path for volume in service.volumes}
    taken |= {each.path for each in service.tmpfs}
    return bound + [_in_memory(Tmpfs(path=path)) for path in SCRATCH if path not in taken]


def _bound(volume: scores.Volume) -> dict[str, Any]:
    return {
        "type": "bind",
        "source": volume.host_path,
        "destination": volume.mount_path,
        "options": ["rbind", _access(volume)],
    }


def _files(service: scores.Service, paths: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {
            "type": "bind",
            "source": path,
            "destination": file.path,
            "options": ["bind", "ro", "nosuid", "nodev"],
        }
        for path, file in zip(paths, service.files, strict=True)
    ]


def _in_memory(tmpfs: Tmpfs) -> dict[str, Any]:
    options = ["rw", "nosuid", "nodev", f"mode={tmpfs.mode}"]
    if tmpfs.size:
        options.append(f"size={quantities.memory_bytes(tmpfs.size)}")
    return {"type": "tmpfs", "source": "tmpfs", "destination": tmpfs.path, "options": options}


def _access(volume: scores.Volume) -> str:
    return "ro" if volume.read_only else "rw"


def _limits(resources: scores.Resources) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    if resources.memory:
        size = quantities.memory_bytes(resources.memory)
        limits["memory"] = {"limit": size, "swap": size}
    if resources.cpus:
        share = quantities.thousandths_of_cpu(resources.cpus)
        quota = share * _CPU_PERIOD_MICROSECONDS // 1000
        limits["cpu"] = {"quota": quota, "period": _CPU_PERIOD_MICROSECONDS}
    if resources.pids is not None:
        limits["pids"] = {"limit": resources.pids}
    return limits


def left_out(service: scores.Service, details: Mapping[str, Any]) -> errors.FleetError | None:
    """
    Find what was asked for and *details*, the container as inspected, doesn't have.

    podman silently drops limits whose cgroup controller isn't there, and
    capabilities that it doesn't have itself.
    """
    missing = _missing_capabilities(service, details)
    if missing:
        what = f"capability {missing[0]} is not there to be given on this device"
        return error_messages.unable(errors.CapabilityUnavailable, what, element=service.name)
    for name, (asked, found) in _limits_found(service.resources, details["HostConfig"]).items():
        if asked and asked != found:
            what = f"{name} can't be limited on this device"
            return error_messages.unable(errors.LimitUnavailable, what, element=service.name)
    return None


def _missing_capabilities(service: scores.Service, details: Mapping[str, Any]) -> list[str]:
    asked = {f"CAP_{name}" for name in service.capabilities.add if name != "ALL"}
    # Bounding, since a user other than root has fewer effective ones.
    given = {str(name).upper() for name in details.get("BoundingCaps") or ()}
    return sorted(name.removeprefix("CAP_") for name in asked - given)


def _limits_found(
    resources: scores.Resources, found: Mapping[str, Any]
) -> dict[str, tuple[int, int]]:
    asked = _limits(resources)
    return {
        "memory": (asked.get("memory", {}).get("limit", 0), found.get("Memory", 0)),
        "cpus": (asked.get("cpu", {}).get("quota", 0), found.get("CpuQuota", 0)),
        "pids": (asked.get("pids", {}).get("limit", 0), found.get("PidsLimit", 0)),
    }
