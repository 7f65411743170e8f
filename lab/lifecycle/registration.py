"""
Has a device registered again that lost its `Device` object while its agent lived on.

The operator makes such an object anew only when the agent itself tells what it is (contracts.md,
"Deleting a `Device`"), and an agent tells that when it starts: so its agent is started anew.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fleet.contracts.names import DeviceId
from lab.host.lab_host import LabHost
from lab.services.broker import heartbeats
from lab.services.broker.stage import Broker

Restart = Callable[[LabHost], None]


@dataclass(frozen=True)
class Registering:
    """
    The devices of *broker*, and what starts the agent of each anew.

    An agent that has just started is heard before it has looked at its runtime, and tells what it
    is after that. It has *patience* seconds for it.
    """

    broker: Broker
    restarts: Mapping[str, Restart]
    patience: float = 10
    clock: Callable[[], float] = time.monotonic
    _since: dict[DeviceId, float] = field(default_factory=dict)

    def look(self, topology: LabHost) -> None:
        """
        Start the agents anew of devices that are heard, and haven't told for long what they are.

        :raises errors.BusUnavailable: the broker doesn't answer.
        """
        for device in heartbeats.heard_only(self.broker):
            since = self._since.setdefault(device, self.clock())
            if self.clock() - since >= self.patience:
                topology.saw(f"{device} was taken off the fleet: its agent is started anew")
                self.restarts[device](topology)
                self._since[device] = self.clock() + self.patience  # emulated, it needs longer
