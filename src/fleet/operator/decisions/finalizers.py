"""
When the finalizer of a deleted deployment, or device, is released. Nothing waits for one device.

Every value that a deployment owns, or that a device is told, must have been
withdrawn; after that, each device that still tells a state is waited for as
long as it is heard, and never longer than `PATIENCE`, counted from the
deletion timestamp so that a restart of the operator starts nothing over.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from fleet.bus.port import Deleted, Put
from fleet.contracts.names import DeviceId
from fleet.operator.model.custom_resources import Deployment, Device
from fleet.operator.model.matching.index import Pair
from fleet.operator.model.store import Store

PATIENCE: Final = timedelta(seconds=300)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to release; *left* are the devices, or deployments, that may still run."""

    released: bool
    left: tuple[str, ...] = ()


def judge(store: Store, deployment: Deployment, now: datetime) -> Verdict:
    """Decide about a deployment that is being deleted."""
    devices = sorted(store.keyed_devices(deployment.name))
    if any(_owns(store, deployment, device) for device in devices):
        return Verdict(released=False)
    holder = store.holder(deployment.name)
    if holder is not None and holder.uid != deployment.uid:
        return Verdict(released=True)
    left = tuple(d for d in devices if Pair(d, deployment.name) in store.states)
    waited_for = [d for d in left if d in store.devices and d not in store.silent]
    patient = _is_patient(deployment.deleting_since, now)
    return Verdict(released=not waited_for or not patient, left=left)


def judge_device(store: Store, device: Device, now: datetime) -> Verdict:
    """Decide about a device that is being deleted."""
    pairs = [Pair(device.id, name) for name in sorted(store.keyed_deployments(device.id))]
    if not all(isinstance(store.desired.get(pair), Deleted | None) for pair in pairs):
        return Verdict(released=False)
    left = tuple(pair.deployment for pair in pairs if pair in store.states)
    if not left or device.id in store.silent or not _is_patient(device.deleting_since, now):
        return Verdict(released=True, left=left)
    return Verdict(released=False, left=left)


def _is_patient(since: datetime | None, now: datetime) -> bool:
    return since is None or now - since < PATIENCE


def _owns(store: Store, deployment: Deployment, device: DeviceId) -> bool:
    entry = store.desired.get(Pair(device, deployment.name))
    return (
        isinstance(entry, Put)
        and entry.value.owner is not None
        and entry.value.owner.uid == deployment.uid
    )
