"""Gather what `fleet-agent status` shows."""

from collections.abc import Callable
from datetime import datetime

from fleet.agent.deployments.dispatcher import Dispatcher
from fleet.agent.device import status
from fleet.agent.model.problems import Problems
from fleet.bus import port
from fleet.bus.port import Bus
from fleet.contracts.names import DeviceId


class Overview:
    """What an agent knows of its device. `run` follows the connection to the hub."""

    def __init__(
        self,
        device_id: DeviceId,
        version: str,
        bus: Bus,
        dispatcher: Dispatcher,
        problems: Problems,
        *,
        hub: str,
        now: Callable[[], datetime],
    ) -> None:
        self._device_id = device_id
        self._version = version
        self._bus = bus
        self._dispatcher = dispatcher
        self._problems = problems
        self._hub = hub
        self._now = now
        self._since = now()

    async def run(self) -> None:
        """Note when the hub is found or lost, until cancelled."""
        while True:
            await self._bus.wait_for_change()
            self._since = self._now()

    def snapshot(self) -> status.Snapshot:
        """Tell how things are now."""
        return status.Snapshot(
            device_id=str(self._device_id),
            agent_version=self._version,
            is_running=True,
            hub=self._hub,
            is_connected=port.is_heard(self._bus),
            unheard_for=self._bus.unheard_for if self._bus.connected else None,
            since=self._since,
            at=self._now(),
            deployments=status.deployments(self._dispatcher.known()),
            problems=self._problems.list(),
        )
