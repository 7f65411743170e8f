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


class Names:
    """
    The names in keys: one object for each, however many keys hold it.

    It forgets all of them where there are too many: who holds one keeps it.
    """

    def __init__(self, most: int = 200_000) -> None:
        self._most = most
        self._devices: dict[DeviceId, DeviceId] = {}
        self._deployments: dict[DeploymentName, DeploymentName] = {}

    def device(self, found: DeviceId) -> DeviceId:
        """Find the one object of a device's id."""
        return _shared(self._devices, found, self._most)

    def pair(self, device: DeviceId, deployment: DeploymentName) -> Pair:
        """Make a pair of the one object of either name."""
        return Pair(
            _shared(self._devices, device, self._most),
            _shared(self._deployments, deployment, self._most),
        )


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


def _shared(table: dict[A, A], found: A, most: int) -> A:
    if len(table) >= most:
        table.clear()
    return table.setdefault(found, found)


def _drop(sets: dict[A, set[B]], key: A, value: B) -> None:
    found = sets.get(key)
    if found is None:
        return
    found.discard(value)
    if not found:
        del sets[key]
