"""
What a test may need of its device, and which devices have it. Decides only.

``@pytest.mark.needs("rootful", "low-port")`` is resolved against `lab.status`. What a device says
of itself there (``capabilities``) goes before what its back-end tells.
"""

import enum
from collections.abc import Iterable, Mapping
from typing import Any

from lab.errors import TopologyInvalid
from lab.plugin.port import Status


class Capability(enum.StrEnum):
    """What a device can do, or its lab."""

    ROOTFUL = "rootful"
    """podman and the agent run as root"""
    ROOTLESS = "rootless"
    """podman and the agent run as a user without privileges"""
    LOW_PORT = "low-port"
    """a container may have a port of the device below 1024"""
    VM = "vm"
    """a machine with a kernel and an init of its own"""
    PODS = "pods"
    """the lab's cluster runs pods"""


def wanted(names: Iterable[str]) -> frozenset[Capability]:
    """
    Return what is needed.

    :raises TopologyInvalid: there is no such capability.
    """
    known, found = tuple(Capability), tuple(names)
    for name in found:
        if name not in known:
            hint = f"there are {', '.join(known)}"
            raise TopologyInvalid(f"needs: there is no capability {name!r}", hint=hint)
    return frozenset(map(Capability, found))


def of_device(status: Status, device: Mapping[str, Any]) -> frozenset[Capability]:
    """Return what *device* of the lab can do."""
    pods = status["kubernetes"]["backend"] != "processes"
    of_lab = {Capability.PODS} if pods else set()
    if "capabilities" in device:
        known = set(Capability) & set(device["capabilities"])
        return frozenset(map(Capability, known)) | of_lab
    is_rootless = device.get("rootless", False)
    of_user = {Capability.ROOTLESS} if is_rootless else {Capability.ROOTFUL, Capability.LOW_PORT}
    of_backend = set() if device["backend"] == "host" else {Capability.VM}
    return frozenset(of_lab | of_user | of_backend)


def fitting(status: Status, needs: frozenset[Capability]) -> tuple[str, ...]:
    """Return the ids of the devices that can do all of *needs*."""
    return tuple(each["id"] for each in status["devices"] if needs <= of_device(status, each))


def why_none(status: Status, needs: frozenset[Capability]) -> str:
    """Say that no device of the lab can do *needs*, and what they can."""
    each = (
        f"{device['id']} ({_listed(of_device(status, device))})" for device in status["devices"]
    )
    return (
        f"no device of lab {status['name']} is {_listed(needs)} (topology {status['topology']}); "
        f"there are {', '.join(each) or 'none'}"
    )


def _listed(capabilities: Iterable[Capability]) -> str:
    return ", ".join(sorted(capabilities))
