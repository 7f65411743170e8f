"""
The lab's machine-readable face: the one object that tests, scripts and other tools read.

Fields are only ever added. Addresses in it are valid from the host, from a device and from a pod.
How far the lab is up is found by comparing every score with what is there; nothing is changed.
"""

import platform
from collections.abc import Mapping
from typing import Any, assert_never

from lab.devices import host as host_devices
from lab.devices.host_device import HostDevice
from lab.devices.vm import access, machine
from lab.devices.vm import device as machines
from lab.devices.vm.device import VmDevice
from lab.devices.vm.hypervisor import daemon
from lab.errors import NothingThere
from lab.host import labs, network, processes
from lab.host.lab_host import LabHost
from lab.lifecycle import assembly, stages, topology
from lab.lifecycle.assembly import Assembly, LabDevice
from lab.lifecycle.stages import Done, Stage
from lab.lifecycle.topology import Backend
from lab.services.broker.process import PART as NATS
from lab.services.broker.stage import ADMIN, OPERATOR
from lab.services.cluster.stage import PARTS
from lab.services.operator import PART as OPERATOR_PART
from lab.services.registry import PART as REGISTRY

Status = dict[str, Any]


class Nobody:
    """Watches nothing."""

    def begins(self, stage: Stage, score: str) -> None:
        """See `stages.Audience`."""

    def sees(self, what: str) -> None:
        """See `stages.Audience`."""

    def ends(self, done: Done) -> None:
        """See `stages.Audience`."""


def status(name: str) -> Status:
    """Return the status of lab *name*, also when there is no such lab."""
    known = labs.find(name)
    if known is None:
        return _nothing(name)
    lab = assembly.assemble(known.host, topology.load(known.topology))
    plans = assembly.plans(lab)
    done = stages.reach(plans, known.host, Nobody(), dry_run=True)
    runs = any(_pid(known.host, part) for part in (*PARTS, NATS, REGISTRY, OPERATOR_PART))
    return {
        "name": name,
        "topology": known.topology,
        "stage": str(stages.reached(plans, done, runs=runs)),
        "problems": list(problems(done)),
        **_parts(lab),
        "devices": [_device(lab.host, device) for device in lab.devices],
        "paths": _paths(known.host),
    }


def problems(done: tuple[Done, ...]) -> tuple[str, ...]:
    """Say in words what isn't as wanted."""
    found = []
    for entry in done:
        found += [f"{entry.name}: {detail}" for detail in entry.outcome.details]
        if entry.outcome.error is not None:
            found.append(f"{entry.name}: {entry.outcome.error}")
    return tuple(found)


def device_of(name: str, device: str) -> tuple[LabHost, LabDevice]:
    """Return the lab's host and *device*, or say which there are."""
    known = labs.require(name)
    lab = assembly.assemble(known.host, topology.load(known.topology))
    for candidate in lab.devices:
        if candidate.id == device:
            return known.host, candidate
    ids = ", ".join(candidate.id for candidate in lab.devices)
    raise NothingThere(f"lab {name} has no device {device}", element=device, hint=f"it has {ids}")


def _parts(lab: Assembly) -> Status:
    pids = {part: _pid(lab.host, part) for part in PARTS}
    return {
        "kubernetes": {
            "kubeconfig": str(lab.plane.kubeconfig),
            "server": lab.plane.server,
            "backend": "processes",
            "pids": pids,
        },
        "nats": {
            "url": lab.broker.url,
            "credentials": {
                "admin": str(lab.broker.credentials(ADMIN)),
                "operator": str(lab.broker.credentials(OPERATOR)),
            },
            "ca": None,
            "pid": _pid(lab.host, NATS),
        },
        "registry": {"address": lab.registry.address, "pid": _pid(lab.host, REGISTRY)},
        "operator": {
            "pid": _pid(lab.host, OPERATOR_PART),
            "health": lab.operator.health,
            "metrics": lab.operator.metrics,
        },
    }


def _device(host: LabHost, device: LabDevice) -> Status:
    match device:
        case HostDevice():
            own = _of_namespaces(host, device)
        case VmDevice():
            own = _of_machine(host, device)
        case _:
            assert_never(device)
    return {
        "id": device.id,
        "address": str(host.addresses.device(device.index)),
        "labels": dict(device.labels),
        "credentials": str(device.credentials),
        "plugged": network.is_plugged(host, device.index),
        **own,
    }


def _of_namespaces(host: LabHost, device: HostDevice) -> Status:
    pid = _pid(host, device.agent_part)
    return {
        "backend": str(Backend.HOST),
        "arch": platform.machine(),
        "rootless": device.user is not None,
        "netns": str(network.namespaces(host, device.id).net),
        "podman": f"unix://{host_devices.socket_of(host, device.id)}",
        "podman_pid": _pid(host, device.podman_part),
        "agent": "running" if pid else "stopped",
        "pid": pid,
    }


def _of_machine(host: LabHost, device: VmDevice) -> Status:
    entry, where = machine.find(host, device.id), machines.places(host, device.id)
    on = entry is not None and not machine.off(host, device.id)
    return {
        "backend": str(Backend.VM),
        "arch": str(device.arch),
        "rootless": True,
        "agent": "running" if on and entry and entry.facts.get("booted") else "stopped",
        "pid": None,
        "serial": str(host.log(device.serial_part)),
        "libvirt": daemon.uri(host),
        "domain": machines.domain_name(host, device.id),
        "ssh": {
            "user": machines.ADMIN,
            "port": 22,
            "key": str(access.keypair().private),
            "known_hosts": str(where.known_hosts),
        },
    }


def _nothing(name: str) -> Status:
    state = labs.state_of(name)
    return {
        "name": name,
        "topology": None,
        "stage": str(Stage.DOWN),
        "problems": [],
        "kubernetes": None,
        "nats": None,
        "registry": None,
        "operator": None,
        "devices": [],
        "paths": {"state": str(state), "logs": str(state / "logs")},
    }


def _paths(host: LabHost) -> Mapping[str, str]:
    return {"state": str(host.state), "logs": str(host.logs)}


def _pid(host: LabHost, part: str) -> int | None:
    return processes.pid_of(host.ledger, part)
