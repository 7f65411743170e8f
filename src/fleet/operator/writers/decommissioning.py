"""
Decommissions devices: withdraws their workloads, removes their keys, releases the finalizer.

`publishing` writes the markers, since the object's deletion is evidence enough;
`finalizers` says when a device was waited for long enough. What is swept here is
what the device told (info, heartbeat, states) and the markers that it has
acted on. A marker whose state still stood was perhaps never read: it stays
for as long as it takes the device to come back.

A device that goes along with the definition of all devices is left as it is: only its object ends.
"""

from collections.abc import Awaitable, Callable

import structlog

from fleet.bus.port import Bus
from fleet.contracts import kv, messages
from fleet.contracts.names import DeviceId
from fleet.contracts.resources import DEVICE_PLURAL
from fleet.operator.clock import Clock
from fleet.operator.decisions import events, finalizers
from fleet.operator.decisions.finalizers import Verdict
from fleet.operator.model.custom_resources import Device
from fleet.operator.model.ending import Ending
from fleet.operator.model.matching.index import Pair
from fleet.operator.model.store import Store
from fleet.operator.writers.event_recorder import EventRecorder
from fleet.operator.writers.pending_deletions import PendingDeletions

log = structlog.get_logger()


class Decommissioner:
    """Sweeps the keys of each device whose object is being deleted."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        recorder: EventRecorder,
        *,
        clock: Clock,
        definitions_stand: Callable[[Ending], Awaitable[bool]],
    ) -> None:
        self._store = store
        self._definitions_stand = definitions_stand
        self._recorder = recorder
        self._clock = clock
        self._desired = bus.bucket(messages.DESIRED_STATE)
        self._infos = bus.bucket(messages.DEVICE_INFO)
        self._states = bus.bucket(messages.DEVICE_STATE)
        self._heartbeats = bus.bucket(messages.DEVICE_HEARTBEAT)
        self._pending_deletions = PendingDeletions()
        self._under_way: dict[DeviceId, str] = {}  # uids

    def under_way(self) -> tuple[DeviceId, ...]:
        """List the devices that somebody waits to see released."""
        return tuple(self._under_way)

    async def released(self, device: Device) -> None:
        """Wait until the finalizer of a device can go."""
        self._under_way[device.id] = device.uid
        try:
            await self._pending_deletions.wait(device.uid)
        finally:
            if self._under_way.get(device.id) == device.uid:
                del self._under_way[device.id]

    async def work(self, device_id: DeviceId) -> None:
        """Bring one device's end about, if it is to end."""
        uid = self._under_way.get(device_id, "")
        device = self._store.devices.get(device_id)
        if device is None or device.uid != uid:
            self._pending_deletions.grant(uid)  # somebody took the finalizer off by hand
            return
        if not self._pending_deletions.is_awaited(uid):
            return
        if not await self._definitions_stand(Ending(DEVICE_PLURAL, uid)):
            self._pending_deletions.grant(uid)
            log.warning("released, since its definition goes", device=device_id)
            return
        verdict = finalizers.judge_device(self._store, device, self._clock.now())
        if verdict.released:
            await self._sweep(device, verdict)
            self._recorder.post(events.of_decommissioned(device, verdict))
            self._pending_deletions.grant(uid)

    async def _sweep(self, device: Device, verdict: Verdict) -> None:
        for name in self._store.keyed_deployments(device.id):
            await self._sweep_marker(Pair(device.id, name))
        await self._states.purge(kv.device_state_filter(device.id))
        for name in self._store.keyed_deployments(device.id):
            self._store.drop_state(Pair(device.id, name))
        await self._sweep_info(device.id)
        await self._heartbeats.purge(kv.device_heartbeat_key(device.id))
        log.info("device decommissioned", device=device.id, left=len(verdict.left))

    async def _sweep_marker(self, pair: Pair) -> None:
        marker = self._store.desired.get(pair)
        if marker is None or pair in self._store.states:
            return
        key = kv.desired_state_key(*pair)
        await self._desired.purge(key, last=marker.revision)
        self._store.put_desired(pair, await self._desired.get(key))

    async def _sweep_info(self, device_id: DeviceId) -> None:
        """Sweep what was told so far, from the bucket and from the view alike."""
        key = kv.device_info_key(device_id)
        while True:
            known = self._store.infos.get(device_id)
            await self._infos.purge(key)
            empty = await self._infos.get(key) is None
            if empty and self._store.infos.get(device_id) is known:
                # Nothing was told since the bucket was empty: what comes now is new.
                self._store.put_info(device_id, None)
                return
