"""
Which devices have two agents: told by instances that take turns in one heartbeat key.

A restarted agent is a new instance, once; a last beat of the old one may still
come after it. Only instances that come back again and again are duplicate_agents, and
they are forgotten once only one of them was heard for a while.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from fleet.contracts.names import DeviceId

RETURNS_THAT_TELL: Final = 3
MOST_INSTANCES: Final = 4


@dataclass(slots=True)
class _Beats:
    since: datetime
    at: datetime
    last: str
    seen: dict[str, datetime] = field(default_factory=dict)
    returns: int = 0


class DuplicateAgents:
    """The instances of each device's agent that were heard lately. Times are the server's."""

    def __init__(self, quiet: timedelta) -> None:
        self._quiet = quiet
        self._beats: dict[DeviceId, _Beats] = {}

    def instances(self, device: DeviceId) -> tuple[str, ...] | None:
        """List the twins of *device*; none are found; None: it isn't known for long enough."""
        beats = self._beats.get(device)
        if beats is None:
            return None
        if beats.returns >= RETURNS_THAT_TELL:
            return tuple(sorted(beats.seen))
        return () if beats.at - beats.since >= self._quiet else None

    def hear(self, device: DeviceId, instance: str, at: datetime) -> None:
        """Take note of a heartbeat."""
        if not instance:
            return
        beats = self._beats.setdefault(device, _Beats(since=at, at=at, last=instance))
        if at < beats.at:
            return  # told late
        beats.seen = {known: t for known, t in beats.seen.items() if at - t < self._quiet}
        if not beats.seen.keys() - {instance}:
            beats.returns = 0
        if instance != beats.last and instance in beats.seen:
            beats.returns += 1
        beats.seen[instance] = at
        if len(beats.seen) > MOST_INSTANCES:
            del beats.seen[min(beats.seen, key=lambda known: beats.seen[known])]
        beats.at, beats.last = at, instance

    def forget(self, device: DeviceId) -> None:
        """Forget what was heard of *device*."""
        self._beats.pop(device, None)
