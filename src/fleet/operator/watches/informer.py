"""
From the API server into the store: single objects as they change, and full lists.

A watch never tells what was deleted while it was disconnected, so everything is
listed at the start and again now and then. What a list doesn't hold
is gone, unless an event spoke of it while the list was on its way.

A cluster whose store was lost and made anew is listed as soon as that is noticed;
who watches begins again then (`renewed`), since versions of the old store say
nothing in the new one.

An object that can't be read, for a bug, stays in the view as it was; no other waits for it.
"""

import asyncio
import contextlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Hashable,
    Iterator,
    Mapping,
)
from contextlib import aclosing, contextmanager
from datetime import timedelta
from typing import Final, TypeVar

import structlog

from fleet import errors
from fleet.contracts.names import DeviceId
from fleet.operator.model import custom_resources
from fleet.operator.model.custom_resources import Deployment, Device
from fleet.operator.model.store import Store
from fleet.operator.model.tombstones import Tombstones
from fleet.operator.ports import Body, Cluster, Found
from fleet.operator.time_slice import TimeSlice
from fleet.operator.watches.liveness import Liveness
from fleet.operator.watches.sync_barrier import Part, SyncBarrier
from fleet.supervision.failures import Failures

log = structlog.get_logger()
T = TypeVar("T")

RETRY_SECONDS: Final = 2.0
LIFE_SECONDS: Final = 10.0
FEW: Final = 20  # reads cost less than a page of a list
DEPLOYMENTS: Final = "deployments"
DEVICES: Final = "devices"


class Informer:
    """Keeps the store's view of the custom resources."""

    def __init__(
        self,
        store: Store,
        barrier: SyncBarrier,
        cluster: Cluster,
        liveness: Liveness,
        changed: Callable[[], None],
        *,
        time_slice: TimeSlice | None = None,
        failures: Failures | None = None,
    ) -> None:
        self._failures = failures or Failures()
        self._store = store
        self._barrier = barrier
        self._cluster = cluster
        self._liveness = liveness
        self._changed = changed
        self._slice = time_slice or TimeSlice()
        self.listed = asyncio.Event()
        self.renewed = asyncio.Event()
        self._seen: set[str] = set()  # uids that events spoke of since a list began
        self._soon = asyncio.Event()
        self._gone = Tombstones()
        self._unreadable: set[str] = set()  # logged once
        self._failing: set[str] = set()  # uids that a bug keeps out of the list under way
        self.unread: frozenset[str] = frozenset()  # and kept out of the last complete one

    def deployment_event(self, kind: str | None, body: Body) -> None:
        """Take note of one `Deployment`; *kind* is the watch's word."""
        uid = body["metadata"]["uid"]
        self._seen.add(uid)
        with self._failures.contained(DEPLOYMENTS, uid):
            if kind == "DELETED":
                self._drop_deployment(uid)
            elif deployment := self._read(custom_resources.parse_deployment, body):
                self.observe_deployment(deployment)
        self._changed()

    def device_event(self, kind: str | None, body: Body) -> None:
        """Take note of one `Device`."""
        self._seen.add(body["metadata"]["uid"])
        with self._failures.contained(DEVICES, _device_key(body)):
            if device := self._read(custom_resources.parse_device, body):
                if kind == "DELETED":
                    self._gone.bury(device.uid)
                    self._drop_device(device)
                else:
                    self.observe_device(device)
        self._changed()

    def observe_deployment(self, deployment: Deployment, *, own_status: bool = False) -> None:
        """Take note of a deployment, unless it is gone or the store knows a later version of it."""
        known = self._store.deployments.get(deployment.uid)
        if deployment.uid in self._gone or (known and known.version > deployment.version):
            return
        self._store.put_deployment(deployment, own_status=own_status)

    def status_written(self, deployment: Deployment) -> None:
        """Take note of a status just written, before the watch tells of it."""
        self._seen.add(deployment.uid)
        self.observe_deployment(deployment, own_status=True)

    def observe_device(self, device: Device, *, own_status: bool = False) -> None:
        """
        Take note of a device, unless it is gone or the store knows a later version of it.

        A name may be given again: what the store knows may be the successor.
        """
        known = self._store.devices.get(device.id)
        if device.uid in self._gone or (known and _is_later(known, device)):
            return
        self._put_device(device, own_status=own_status)

    def device_registered(self, device: Device) -> None:
        """Take note of a device just registered, before the watch tells of it."""
        self._seen.add(device.uid)
        self.observe_device(device)

    def device_status_written(self, device: Device) -> None:
        """Take note of a status just written, before the watch tells of it."""
        self._seen.add(device.uid)
        self.observe_device(device, own_status=True)

    async def look_again(
        self, devices: Collection[DeviceId], deployments: Collection[Deployment]
    ) -> Found:
        """
        Read these as they are now: one by one where they are few, else by a list.

        What can't be read, for a bug, isn't among what was found.

        :raises errors.ClusterUnavailable: the API server didn't answer.
        """
        found: set[DeviceId] = set()
        async for body in self._current_devices(devices):
            with self._failures.contained(DEVICES, _device_key(body)):
                if device := self._read(custom_resources.parse_device, body):
                    self._seen.add(device.uid)
                    self.observe_device(device)
                    found.add(device.id)
        uids: set[str] = set()
        async for body in self._current_deployments(deployments):
            with self._failures.contained(DEPLOYMENTS, body["metadata"]["uid"]):
                if deployment := self._read(custom_resources.parse_deployment, body):
                    self._seen.add(deployment.uid)
                    self.observe_deployment(deployment)
                    uids.add(deployment.uid)
        self._changed()
        return Found(frozenset(found), frozenset(uids))

    async def _current_devices(self, devices: Collection[DeviceId]) -> AsyncIterator[Body]:
        if len(devices) > FEW:
            async for body in self._bodies(self._cluster.list_devices()):
                if body["metadata"]["name"] in devices:
                    yield body
            return
        for device in devices:
            with _gone():
                yield await self._cluster.read_device(device)

    async def _current_deployments(
        self, deployments: Collection[Deployment]
    ) -> AsyncIterator[Body]:
        if len(deployments) > FEW:
            async for body in self._bodies(self._cluster.list_deployments()):
                yield body
            return
        for deployment in deployments:
            with _gone():
                yield await self._cluster.read_deployment(deployment)

    async def keep_listing(self, every: timedelta, resynced: Callable[[], Awaitable[None]]) -> None:
        """
        List everything now and then again, for ever; a failed list keeps the view.

        *resynced* is called after each complete list.
        """
        said, life, undefined = False, "", False
        while True:
            found = await self._life()
            self._soon.clear()
            try:
                await self.list_all()
            except errors.FleetError as exc:
                undefined = undefined or isinstance(exc, errors.ObjectNotFound)
                if not said:
                    log.warning("cluster not listed", reason=exc.reason, error=str(exc))
                said = True
                await asyncio.sleep(RETRY_SECONDS)
            else:
                if life and (undefined or found not in {"", life}):
                    log.warning("cluster made anew" if not undefined else "definitions made anew")
                    self.renewed.set()
                said, life, undefined = False, found or life, False
                await resynced()
                await self._wait(every.total_seconds(), life)

    async def _wait(self, seconds: float, life: str) -> None:
        """Wait until it is time to list again: at once, where the cluster lives another life."""
        end = asyncio.get_running_loop().time() + seconds
        while (left := end - asyncio.get_running_loop().time()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, LIFE_SECONDS)):
                    await self._soon.wait()
                return
            if await self._life() not in {"", life}:
                return

    async def list_soon(self) -> None:
        """Have everything listed now, and wait until it was."""
        self.listed.clear()
        self._soon.set()
        await self.listed.wait()

    async def _life(self) -> str:
        """Ask for the cluster's life; nothing is said where it doesn't answer."""
        try:
            return await self._cluster.life()
        except errors.FleetError:
            return ""

    async def list_all(self) -> None:
        """
        List every deployment and device, and forget what isn't there any more.

        :raises errors.ClusterUnavailable: the API server didn't answer; the view stays.
        :raises errors.ClusterRefused: it doesn't know these resources, or us.
        """
        self._seen.clear()
        self._failing = set()
        deployments = self._readable(
            custom_resources.parse_deployment, self._cluster.list_deployments(), DEPLOYMENTS
        )
        await self._take_deployments({d.uid: d async for d in deployments})
        self._seen.clear()
        devices = self._readable(
            custom_resources.parse_device, self._cluster.list_devices(), DEVICES
        )
        await self._take_devices({d.id: d async for d in devices})
        self.unread = frozenset(self._failing)
        self.listed.set()
        self._changed()

    async def _take_deployments(self, listed: Mapping[str, Deployment]) -> None:
        async for deployment in self._slice.over(listed.values()):
            if deployment.uid not in self._seen:
                with self._failures.contained(DEPLOYMENTS, deployment.uid) as contained:
                    self._gone.exhume(deployment.uid)
                    self._store.put_deployment(deployment)
                if contained.failure:
                    self._failing.add(deployment.uid)
        async for uid in self._slice.over(self._store.deployments.keys() - listed.keys()):
            if uid in self._seen:
                continue
            with self._failures.contained(DEPLOYMENTS, uid):
                self._drop_deployment(uid)
        self._store.touched.deployments.update(listed)
        self._barrier.listed(Part.DEPLOYMENTS)

    async def _take_devices(self, listed: Mapping[DeviceId, Device]) -> None:
        async for device in self._slice.over(listed.values()):
            known = self._store.devices.get(device.id)
            if not {device.uid, known.uid if known else ""} & self._seen:
                with self._failures.contained(DEVICES, device.id) as contained:
                    self._gone.exhume(device.uid)
                    self._put_device(device)
                if contained.failure:
                    self._failing.add(device.uid)
        async for device_id in self._slice.over(self._store.devices.keys() - listed.keys()):
            gone = self._store.devices.get(device_id)
            if gone is not None and gone.uid not in self._seen:
                with self._failures.contained(DEVICES, device_id):
                    self._gone.bury(gone.uid)
                    self._drop_device(gone)
        self._barrier.listed(Part.DEVICES)

    def _drop_deployment(self, uid: str) -> None:
        self._gone.bury(uid)
        self._store.drop_deployment(uid)

    def _put_device(self, device: Device, *, own_status: bool = False) -> None:
        self._store.put_device(device, own_status=own_status)
        self._liveness.expect(device.id)

    def _drop_device(self, device: Device) -> None:
        known = self._store.devices.get(device.id)
        if known is not None and known.uid == device.uid:
            self._store.drop_device(device.id)
            self._liveness.forget(device.id)

    async def _readable(
        self, parse: Callable[[Body], T], pages: AsyncGenerator[list[Body], None], part: str
    ) -> AsyncIterator[T]:
        """
        Read a list to its end, and keep nothing of a page but what is needed.

        What can't be read for a bug of ours isn't gone for that.
        """
        async for body in self._bodies(pages):
            uid, item = body["metadata"]["uid"], None
            contained = self._failures.contained(
                part, _device_key(body) if part == DEVICES else uid
            )
            with contained:
                item = self._read(parse, body)
            if contained.failure:
                self._seen.add(uid)
                self._failing.add(uid)
            if item is not None:
                yield item

    async def _bodies(self, pages: AsyncGenerator[list[Body], None]) -> AsyncIterator[Body]:
        async with aclosing(pages):
            async for page in pages:
                async for body in self._slice.over(page):
                    yield body

    def _read(self, parse: Callable[[Body], T], body: Body) -> T | None:
        try:
            return parse(body)
        except errors.PermanentError as exc:
            uid = body["metadata"]["uid"]
            if uid not in self._unreadable:
                self._unreadable.add(uid)
                log.warning("resource unreadable", name=body["metadata"]["name"], error=str(exc))
            return None


def _device_key(body: Body) -> Hashable:
    """Name the device that *body* is of, as failures are told of it."""
    name = str(body["metadata"]["name"])
    try:
        return DeviceId(name)
    except errors.InvalidName:
        return name


def _is_later(known: Device, device: Device) -> bool:
    """Tell whether *known* is a later version, or the successor, of *device*."""
    if known.uid == device.uid:
        return known.version > device.version
    return (known.created, known.version) > (device.created, device.version)


@contextmanager
def _gone() -> Iterator[None]:
    """Go on where an object isn't there any more, of which the watch will tell."""
    try:
        yield
    except errors.ClusterRefused as exc:
        log.info("not read again", reason=exc.reason, error=str(exc))
