"""
Keeps the `Device` objects: writes what `registration` decided, where it isn't so already.

Labels decide what runs where and are written at once. Statuses take turns, so
that a fleet that goes dark, or flaps, doesn't keep the API server from the rest.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from fleet.contracts.names import DeviceId
from fleet.operator.clock import Clock
from fleet.operator.decisions import events, registration
from fleet.operator.decisions.coalescing import Coalescing
from fleet.operator.decisions.token_bucket import TokenBucket
from fleet.operator.model import custom_resources
from fleet.operator.model.custom_resources import Device
from fleet.operator.model.duplicate_agents import DuplicateAgents
from fleet.operator.model.presence import Presence
from fleet.operator.model.store import Store
from fleet.operator.ports import Body, Cluster, Counter
from fleet.operator.writers.event_recorder import EventRecorder
from fleet.operator.writers.work_queue import Pace

log = structlog.get_logger()

PACE: Final = Pace(workers=10, spacing=1.0)
# When a `Device` is looked at of which only the count of deployments changed. A roll-out takes
# seconds on a device: most of them are written once, or not at all. The API server takes 5 ms for
# each, which a roll-out that goes on would wait for.
LOADS: Final = Coalescing(settle=5.0, portion=20, share=60, beside=2)

# The API server takes some 300 in a second; deployments' statuses come first.
STATUSES_PER_SECOND: Final = 100.0
STATUSES_AT_ONCE: Final = 200


class DeviceWriter:
    """The one writer of `Device` objects' own labels and status."""

    def __init__(
        self,
        store: Store,
        presence: Presence,
        duplicate_agents: DuplicateAgents,
        cluster: Cluster,
        *,
        recorder: EventRecorder,
        clock: Clock,
        counter: Counter,
        observe: Callable[[Device], None],
        status_written: Callable[[Device], None],
    ) -> None:
        self._store = store
        self._presence = presence
        self._duplicate_agents = duplicate_agents
        self._turns = TokenBucket(STATUSES_PER_SECOND, STATUSES_AT_ONCE)
        self._cluster = cluster
        self._recorder = recorder
        self._clock = clock
        self._counter = counter
        self._observe = observe
        self._status_written = status_written

    def is_due(self, device_id: DeviceId) -> bool:
        """Tell whether anything is to be written to an object."""
        device = self._store.devices.get(device_id)
        labels = registration.labels_to_apply(self._store.infos.get(device_id), device)
        return labels is not None or self._status(device_id) is not None

    async def register(self, device_id: DeviceId) -> None:
        """Bring one object, its labels and its finalizer about."""
        device = self._store.devices.get(device_id)
        labels = registration.labels_to_apply(self._store.infos.get(device_id), device)
        if labels is None:
            return
        body = await self._cluster.apply_device(device_id, labels)
        written = custom_resources.parse_device(body)
        self._observe(written)
        self._counter.wrote("device")
        if device is None:
            self._recorder.post(events.of_registered(written))
        log.info(
            "device registered" if device is None else "device labelled",
            device=device_id,
            labels=labels,
        )

    async def describe(self, device_id: DeviceId) -> None:
        """Bring one object's status about, in its turn: it says what is true by then."""
        if self._status(device_id) is None:
            return
        await asyncio.sleep(self._turns.reserve(asyncio.get_running_loop().time()))
        status = self._status(device_id)
        if status is None:
            return
        device = self._store.devices[device_id]
        body = await self._cluster.apply_device_status(device_id, status)
        self._status_written(custom_resources.parse_device(body))
        self._counter.wrote("device status")
        for event in events.of_device(device, device.status, status):
            self._recorder.post(event)

    def _status(self, device_id: DeviceId) -> Body | None:
        device = self._store.devices.get(device_id)
        if device is None or device.deleting_since is not None:
            return None
        return registration.status_to_apply(
            self._store.infos.get(device_id),
            device,
            self._presence.hearing(device_id),
            duplicate_agents=self._duplicate_agents.instances(device_id),
            heard_at=self._presence.last_heard(device_id),
            deployments=self._store.loads.shown(device_id),
            now=self._clock.now(),
        )
