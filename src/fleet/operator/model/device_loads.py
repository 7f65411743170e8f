"""How many deployments match each device, and how many of them run there: counters."""

from fleet.contracts.names import DeviceId
from fleet.operator.model.aggregation import Standing


class DeviceLoads:
    """The counters of all devices; a change costs the same however many there are."""

    def __init__(self) -> None:
        self._running: dict[DeviceId, int] = {}
        self._matched: dict[DeviceId, int] = {}

    def count(self, device: DeviceId, before: Standing | None, after: Standing | None) -> bool:
        """Count one deployment of *device* as *after*; tell whether that moved a counter."""
        matched = (after is not None) - (before is not None)
        running = (after is Standing.RUNNING) - (before is Standing.RUNNING)
        _add(self._matched, device, matched)
        _add(self._running, device, running)
        return bool(matched or running)

    def shown(self, device: DeviceId) -> str:
        """Say how many run of how many: ``2/3``."""
        return f"{self._running.get(device, 0)}/{self._matched.get(device, 0)}"


def _add(counts: dict[DeviceId, int], device: DeviceId, change: int) -> None:
    count = counts.get(device, 0) + change
    if count:
        counts[device] = count
    else:
        counts.pop(device, None)
