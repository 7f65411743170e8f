"""Reads the objects of libvirt's binding into the values of `hypervisor`."""

from pathlib import Path
from typing import Any
from uuid import UUID
from xml.etree import ElementTree as ET

from fleet.scores.kvm.connection import binding, first_that_works
from fleet.scores.kvm.hypervisor import (
    DomainState,
    NetworkState,
    PoolState,
    Power,
    VolumeState,
)


def domain_state(domain: Any) -> DomainState:
    state, reason = _looked_up(domain)
    return DomainState(
        name=domain.name(),
        uuid=UUID(domain.UUIDString()),
        state=state,
        reason=reason,
        xml=domain.XMLDesc(binding().VIR_DOMAIN_XML_INACTIVE),
    )


def power(domain: Any) -> Power:
    return _looked_up(domain)[0]


def _looked_up(domain: Any) -> tuple[Power, str]:
    libvirt = binding()
    state, reason = domain.state()
    powers = {
        libvirt.VIR_DOMAIN_NOSTATE: (Power.RUNNING, ""),
        libvirt.VIR_DOMAIN_RUNNING: (Power.RUNNING, "RUNNING"),
        libvirt.VIR_DOMAIN_BLOCKED: (Power.RUNNING, "BLOCKED"),
        libvirt.VIR_DOMAIN_PAUSED: (Power.PAUSED, "PAUSED"),
        libvirt.VIR_DOMAIN_SHUTDOWN: (Power.STOPPING, "SHUTDOWN"),
        libvirt.VIR_DOMAIN_SHUTOFF: (Power.OFF, "SHUTOFF"),
        libvirt.VIR_DOMAIN_CRASHED: (Power.CRASHED, "CRASHED"),
        libvirt.VIR_DOMAIN_PMSUSPENDED: (Power.ASLEEP, "PMSUSPENDED"),
    }
    power, word = powers[state]
    return power, _reason(word, reason)


def _reason(state: str, number: int) -> str:
    """Return libvirt's word for a reason: its constants are named for them."""
    prefix = f"VIR_DOMAIN_{state}_"
    for name, value in vars(binding()).items():
        if name.startswith(prefix) and value == number:
            return str(name).removeprefix(prefix).lower().replace("_", " ")
    return f"reason {number}"


def network_state(network: Any) -> NetworkState:
    inactive = binding().VIR_NETWORK_XML_INACTIVE
    described = first_that_works(lambda: network.XMLDesc(inactive), network.XMLDesc)
    bridge = ET.fromstring(described).find("bridge")  # noqa: S314 - libvirt's own
    return NetworkState(
        name=network.name(),
        uuid=UUID(network.UUIDString()),
        is_active=bool(network.isActive()),
        starts_itself=bool(network.autostart()),
        bridge="" if bridge is None else bridge.get("name", ""),
        xml=described,
    )


def pool_state(pool: Any) -> PoolState:
    return PoolState(
        name=pool.name(),
        uuid=UUID(pool.UUIDString()),
        is_active=bool(pool.isActive()),
        starts_itself=bool(pool.autostart()),
        xml=pool.XMLDesc(),
    )


def volume_state(volume: Any) -> VolumeState:
    _, capacity, allocation = volume.info()
    described = ET.fromstring(volume.XMLDesc())  # noqa: S314 - libvirt's own
    backing = described.findtext("backingStore/path")
    return VolumeState(
        name=volume.name(),
        path=Path(volume.path()),
        capacity=int(capacity),
        allocation=int(allocation),
        backing=Path(backing) if backing else None,
    )
