"""
When a deleted deployment's finalizer is released. Nothing waits for one device.

Every value that the deployment owns must have been withdrawn; after that, each
device that still tells a state is waited for as long as it is heard, and never
longer than `PATIENCE`, counted from the deletion timestamp so that a restart
of the operator starts nothing over.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from fleet.bus.port import Put
from fleet.contracts.names import DeviceId
from fleet.operator.indexing import Pair
from fleet.operator.objects import Deployment
from fleet.operator.world import World

PATIENCE: Final = timedelta(seconds=300)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to release; *left* are the devices that may still run something."""

    released: bool
    left: tuple[DeviceId, ...] = ()


def judge(world: World, deployment: Deployment, now: datetime) -> Verdict:
    """Decide about a deployment that is being deleted."""
    devices = sorted(world.keyed_devices(deployment.name))
    if any(_owns(world, deployment, device) for device in devices):
        return Verdict(released=False)
    holder = world.holder(deployment.name)
    if holder is not None and holder.uid != deployment.uid:
        return Verdict(released=True)
    left = tuple(d for d in devices if Pair(d, deployment.name) in world.states)
    waited_for = [d for d in left if d in world.devices and d not in world.silent]
    since = deployment.deleting_since or now
    return Verdict(released=not waited_for or now - since >= PATIENCE, left=left)


def _owns(world: World, deployment: Deployment, device: DeviceId) -> bool:
    entry = world.desired.get(Pair(device, deployment.name))
    return (
        isinstance(entry, Put)
        and entry.value.owner is not None
        and entry.value.owner.uid == deployment.uid
    )
