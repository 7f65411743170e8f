"""Keeps the `Device` objects: writes what `registration` decided, where it isn't so already."""

from collections.abc import Callable

import structlog

from fleet.contracts.names import DeviceId
from fleet.operator import events, objects, registration
from fleet.operator.clock import Clock
from fleet.operator.objects import Device
from fleet.operator.ports import Body, Cluster, Counter
from fleet.operator.posting import Poster
from fleet.operator.presence import Presence
from fleet.operator.world import World

log = structlog.get_logger()


class Registrar:
    """The one writer of `Device` objects' own labels and status."""

    def __init__(
        self,
        world: World,
        presence: Presence,
        cluster: Cluster,
        *,
        poster: Poster,
        clock: Clock,
        counter: Counter,
        observe: Callable[[Device], None],
    ) -> None:
        self._world = world
        self._presence = presence
        self._cluster = cluster
        self._poster = poster
        self._clock = clock
        self._counter = counter
        self._observe = observe

    async def work(self, device_id: DeviceId) -> None:
        """Bring one object about."""
        await self._apply_labels(device_id)
        await self._apply_status(device_id)

    async def _apply_labels(self, device_id: DeviceId) -> None:
        device = self._world.devices.get(device_id)
        labels = registration.labels_to_apply(self._world.infos.get(device_id), device)
        if labels is None:
            return
        written = self._note(await self._cluster.apply_device(device_id, labels))
        self._counter.wrote("device")
        if device is None:
            self._poster.post(events.of_registered(written))
        log.info(
            "device registered" if device is None else "device labelled",
            device=device_id,
            labels=labels,
        )

    async def _apply_status(self, device_id: DeviceId) -> None:
        device = self._world.devices.get(device_id)
        if device is None or device.deleting_since is not None:
            return
        status = registration.status_to_apply(
            self._world.infos.get(device_id),
            device,
            self._presence.hearing(device_id),
            heard_at=self._presence.last_heard(device_id),
            now=self._clock.now(),
        )
        if status is None:
            return
        self._note(await self._cluster.apply_device_status(device_id, status))
        self._counter.wrote("device status")
        for event in events.of_device(device, device.status, status):
            self._poster.post(event)

    def _note(self, body: Body) -> Device:
        """Take note of what was written, before the watch tells of it."""
        written = objects.parse_device(body)
        self._observe(written)
        return written
