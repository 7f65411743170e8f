"""Follows a bucket by its watch, as operator and agents do, and holds what it has seen of it."""

from contextlib import aclosing
from typing import Generic, TypeVar

from fleet.bus.port import Bucket, Deleted, Event, Put, Synced, Undecodable
from fleet.contracts.messages import DeploymentState, ReconcileScore

M = TypeVar("M", bound=DeploymentState | ReconcileScore)


class Follower(Generic[M]):
    """The view of one reader."""

    def __init__(self, bucket: Bucket[M], key_filter: str) -> None:
        self.view: dict[str, int] = {}
        self.replays = 0
        self._bucket = bucket
        self._filter = key_filter

    async def run(self) -> None:
        """Follow until cancelled."""
        async with aclosing(self._bucket.watch(self._filter)) as events:
            async for event in events:
                self._see(event)

    def _see(self, event: Event[M]) -> None:
        match event:
            case Put():
                self.view[event.key] = int(event.value.revision)
            case Deleted() | Undecodable():
                self.view.pop(event.key, None)
            case Synced():
                self.replays += 1
                self.view = {key: n for key, n in self.view.items() if key in event.keys}
