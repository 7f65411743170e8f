"""Pairs of a device and a deployment, found from either side."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

from fleet.contracts.names import DeploymentName, DeviceId

K = TypeVar("K")


class Pair(NamedTuple):
    """One deployment on one device."""

    device: DeviceId
    deployment: DeploymentName


class Relation(Generic[K]):
    """A set of (device, other) that answers for either side at once."""

    def __init__(self) -> None:
        self._others: defaultdict[DeviceId, set[K]] = defaultdict(set)
        self._devices: defaultdict[K, set[DeviceId]] = defaultdict(set)

    def relate(self, device: DeviceId, other: K, *, related: bool = True) -> None:
        """Relate the two, or no longer."""
        if related:
            self._others[device].add(other)
            self._devices[other].add(device)
        else:
            _drop(self._others, device, other)
            _drop(self._devices, other, device)

    def has(self, device: DeviceId, other: K) -> bool:
        """Tell whether the two are related."""
        return other in self._others.get(device, ())

    def count(self, device: DeviceId) -> int:
        """Count what *device* is related to."""
        return len(self._others.get(device, ()))

    def pairs(self) -> Iterator[tuple[DeviceId, K]]:
        """List all."""
        return ((device, other) for device, others in self._others.items() for other in others)

    def others(self, device: DeviceId) -> frozenset[K]:
        """List what *device* is related to."""
        return frozenset(self._others.get(device, ()))

    def devices(self, other: K) -> frozenset[DeviceId]:
        """List the devices that *other* is related to."""
        return frozenset(self._devices.get(other, ()))


A = TypeVar("A")
B = TypeVar("B")


def _drop(sets: dict[A, set[B]], key: A, value: B) -> None:
    found = sets.get(key)
    if found is None:
        return
    found.discard(value)
    if not found:
        del sets[key]
