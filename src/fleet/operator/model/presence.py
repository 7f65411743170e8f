"""
Which devices are heard: judged by the server's clock and the times of its messages.

A device is heard when its last heartbeat is younger than the silence
interval, and silent when it isn't. Nobody turns silent while the operator
itself doesn't listen, nor until it has listened for a whole interval: its own
deafness would make a fleet look dead. Who says too rarely that it listens (it was
stopped, or its server was) wasn't listening.
"""

from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum

from fleet.contracts.names import DeviceId

SILENCE = timedelta(seconds=30)


class Hearing(StrEnum):
    """What is known of a device's presence."""

    AWAITED = "awaited"  # since the operator started
    HEARD = "heard"
    SILENT = "silent"


class Presence:
    """The times of the last heartbeats, oldest first."""

    def __init__(self, silence: timedelta = SILENCE) -> None:
        self.interval = silence
        self._last: OrderedDict[DeviceId, datetime] = OrderedDict()
        self._hearing: dict[DeviceId, Hearing] = {}
        self._before: dict[DeviceId, datetime] = {}  # the last of who fell silent
        self._listening_since: datetime | None = None
        self._listened: datetime | None = None

    def hearing(self, device: DeviceId) -> Hearing:
        """Say what is known of *device*."""
        return self._hearing.get(device, Hearing.AWAITED)

    def listen(self, now: datetime) -> None:
        """Take note that heartbeats arrive, from *now* on if they didn't before."""
        if self._listened is not None and now - self._listened > self.interval / 2:
            self.deafen()
        if self._listening_since is None:
            self._listening_since = now
        self._listened = now

    def deafen(self) -> None:
        """Take note that heartbeats may have been missed."""
        self._listening_since = None

    def expect(self, device: DeviceId, now: datetime, *, silent: bool) -> None:
        """Await *device* from *now* on, unless it is known. *silent*: so it was said to be."""
        if device in self._hearing:
            return
        self._hearing[device] = Hearing.SILENT if silent else Hearing.AWAITED
        if not silent:
            self._note(device, now)

    def forget(self, device: DeviceId) -> None:
        """Await *device* no longer."""
        self._hearing.pop(device, None)
        self._last.pop(device, None)
        self._before.pop(device, None)

    def hear(self, device: DeviceId, at: datetime, now: datetime) -> None:
        """Take note of a heartbeat that the server received *at*."""
        if not self.is_fresh(at, now):
            return  # replayed: an old message is no sign of life
        self._hearing[device] = Hearing.HEARD
        self._note(device, at)

    def overdue(self, now: datetime) -> Iterator[DeviceId]:
        """List who hasn't been heard for the whole interval, while somebody listened."""
        if self._listening_since is None or now - self._listening_since < self.interval:
            return
        for device, at in list(self._last.items()):
            if self.is_fresh(at, now):
                return
            yield device

    def is_fresh(self, at: datetime, now: datetime) -> bool:
        """Tell whether a heartbeat *at* is a sign of life *now*."""
        return now - at <= self.interval

    def last_heard(self, device: DeviceId) -> datetime | None:
        """Say when *device* was last heard, if it is or was in this process."""
        if self.hearing(device) is Hearing.HEARD:
            return self._last.get(device)
        return self._before.get(device)

    def silence(self, device: DeviceId) -> None:
        """Take note that *device* fell silent."""
        was_heard = self.hearing(device) is Hearing.HEARD
        self._hearing[device] = Hearing.SILENT
        last = self._last.pop(device, None)
        if was_heard and last is not None:
            self._before[device] = last

    def _note(self, device: DeviceId, at: datetime) -> None:
        self._last[device] = at
        self._last.move_to_end(device)
