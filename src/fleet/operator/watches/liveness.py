"""
Listens for devices: turns heartbeats into who is heard and who fell silent.

The server's clock is asked several times per silence interval; where it doesn't answer, or
the heartbeats have not been replayed since the connection was made, the
operator is deaf and says so to `Presence`. Before a device is called silent,
its last heartbeat is read once more: a watch that stalled must not look like a
fleet that died.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import Final

import structlog

from fleet import errors
from fleet.bus.port import Bus, Put
from fleet.contracts import kv, messages
from fleet.contracts.names import DeviceId
from fleet.operator.clock import ServerClock
from fleet.operator.decisions import registration
from fleet.operator.model.duplicate_agents import DuplicateAgents
from fleet.operator.model.presence import Hearing, Presence
from fleet.operator.model.store import Store
from fleet.supervision.failures import Failures

log = structlog.get_logger()

PART: Final = "liveness"
LOOKS: Final = 15  # per silence interval
MOST_PER_LOOK: Final = 200  # a rate: nobody needs to know within a second that a site went dark


class Liveness:
    """Keeps `Presence`, and what the store knows of it, right."""

    def __init__(
        self,
        store: Store,
        presence: Presence,
        bus: Bus,
        *,
        duplicate_agents: DuplicateAgents,
        clock: ServerClock,
        changed: Callable[[], None],
        failures: Failures | None = None,
    ) -> None:
        self._failures = failures or Failures()
        self._store = store
        self._presence = presence
        self._bus = bus
        self._bucket = bus.bucket(messages.DEVICE_HEARTBEAT)
        self._duplicate_agents = duplicate_agents
        self._clock = clock
        self._changed = changed
        self._synced_session = 0

    def expect(self, device: DeviceId) -> None:
        """Await a device that the store has come to know."""
        known = self._store.devices[device]
        silent = registration.is_stale(known)
        self._presence.expect(device, self._clock.now(), silent=silent)
        self._store.set_silent(device, silent=self._presence.hearing(device) is Hearing.SILENT)

    def synced(self) -> None:
        """Take note that all heartbeats of this session were replayed."""
        self._synced_session = self._bus.session

    def heard(self, device: DeviceId, at: datetime, instance: str) -> None:
        """Take note of a heartbeat of one *instance* of the device's agent."""
        now = self._clock.now()
        if not self._presence.is_fresh(at, now):
            return  # replayed: nor is it a sign of a twin's life
        before = self._presence.hearing(device), self._duplicate_agents.instances(device)
        self._presence.hear(device, at, now)
        self._duplicate_agents.hear(device, instance, at)
        if (self._presence.hearing(device), self._duplicate_agents.instances(device)) != before:
            self._store.set_silent(device, silent=False)
            self._store.touched.devices.add(device)
            self._changed()

    def forget(self, device: DeviceId) -> None:
        """Forget a device whose object is gone, unless it is heard: then it may come back soon."""
        if self._presence.hearing(device) is not Hearing.HEARD:
            self._presence.forget(device)
            self._duplicate_agents.forget(device)

    async def run(self) -> None:
        """Look for silent devices, for ever."""
        while True:
            try:
                await self.look()
            except errors.BusUnavailable as exc:
                self._presence.deafen()
                log.debug("liveness deaf", error=str(exc))
            await asyncio.sleep(self._presence.interval.total_seconds() / LOOKS)

    async def look(self) -> None:
        """
        Find who fell silent.

        :raises errors.BusUnavailable: the server doesn't answer.
        """
        self._clock.tell(await self._bus.server_time())
        if self._synced_session != self._bus.session:
            self._presence.deafen()
            return
        self._presence.listen(self._clock.now())
        for device in list(islice(self._presence.overdue(self._clock.now()), MOST_PER_LOOK)):
            with self._failures.contained(PART, device, passes=(errors.BusUnavailable,)):
                await self._silence(device)
        self._changed()

    async def _silence(self, device: DeviceId) -> None:
        entry = await self._bucket.get(kv.device_heartbeat_key(device))
        if isinstance(entry, Put) and self._presence.is_fresh(entry.at, self._clock.now()):
            self.heard(device, entry.at, entry.value.instance)
            return
        if device not in self._store.devices:
            self._presence.forget(device)
            self._duplicate_agents.forget(device)
            return
        self._presence.silence(device)
        self._store.set_silent(device, silent=True)
        log.info("device silent", device=device)
