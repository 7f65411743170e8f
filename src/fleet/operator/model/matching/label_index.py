"""Devices by their labels: whom a selector may match is found without asking all of them."""

from collections import defaultdict
from collections.abc import Collection, Mapping

from fleet.contracts.names import DeviceId
from fleet.operator.model.matching.selectors import Operator, Requirement, Selector


class LabelIndex:
    """Which devices have each label, with each of its values."""

    def __init__(self) -> None:
        self._devices: defaultdict[tuple[str, str], set[DeviceId]] = defaultdict(set)

    def relabel(
        self, device: DeviceId, before: Mapping[str, str], labels: Mapping[str, str]
    ) -> None:
        """Take note of a device's labels, which were others *before*."""
        for label in before.items() - labels.items():
            self._devices[label].discard(device)
            if not self._devices[label]:
                del self._devices[label]
        for label in labels.items() - before.items():
            self._devices[label].add(device)

    def candidates(self, selector: Selector) -> Collection[DeviceId] | None:
        """List all whom *selector* may match, and perhaps more; None: anybody."""
        if not selector.requirements:
            return ()
        found = [self._with(each) for each in selector.requirements if each.operator is Operator.IN]
        return min(found, key=len, default=None)

    def _with(self, requirement: Requirement) -> Collection[DeviceId]:
        having = [self._devices.get((requirement.key, value), ()) for value in requirement.values]
        return having[0] if len(having) == 1 else set().union(*having)
