"""Deleting a `Device` decommissions it: nothing of it stays but what it still has to read."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TypeVar

import pytest

from fleet.bus.port import Put, Synced
from fleet.contracts import kv
from fleet.contracts.messages import Phase
from lab.bench.simulated_device import SimulatedDevice
from lab.services.cluster.client import FLEET
from tests.integration.operator.site import Site, condition, is_marked, is_purged, until_gone
from tests.waiting import eventually

T = TypeVar("T")

pytestmark = pytest.mark.timeout(120)  # the first test of a module starts the control plane

SILENCE = 3
FINALIZER = "fleet.nationtech.io/finalizer"
MANY = 30


@pytest.fixture(scope="module")
def operator_environment() -> dict[str, str]:
    return {"FLEET_SILENCE": str(SILENCE)}


async def test_every_device_carries_the_finalizer_whoever_made_it(site: Site):
    device = await site.registered()
    made = site.device(2)
    body = {"apiVersion": FLEET.removeprefix("/apis/"), "kind": "Device"}
    await site.kube.apply(path(made), {**body, "metadata": {"name": made.id}})
    for each in (device, made):
        await until_finalized(site, each)


async def test_a_device_that_is_heard_stops_everything_before_it_goes(site: Site):
    device = await running(site)
    name = site.name("web")
    async with device.beating():
        await site.kube.delete(path(device))
        await eventually(lambda: is_marked(device, name), "the device is told to stop")
        await site.until_ready("web", "0/0")  # it counts no longer
        assert await site.device_object(device) is not None
    await device.forget(name)
    await until_gone(site.kube, path(device))
    assert await is_purged(device, name)
    assert await told(device) == []
    await eventually(lambda: site.has_event("Decommissioned", saying="withdrawn"), "it is told")


async def test_a_device_is_registered_anew_only_when_its_agent_says_so(site: Site):
    device = await site.registered()
    before = await site.device_object(device)
    async with device.beating():
        await site.kube.delete(path(device))
        await until_gone(site.kube, path(device))
        await device.beat()
        other = await site.registered(2)  # what comes later is served
        assert await site.device_object(device) is None

        await device.register({"site": site.site})
        found = await eventually(lambda: site.device_object(device), "it registers anew")
    assert before is not None
    assert found["metadata"]["uid"] != before["metadata"]["uid"]
    assert await site.device_object(other) is not None


async def test_a_device_that_is_offline_is_told_when_it_comes_back(site: Site):
    device = await running(site)
    name = site.name("web")
    await eventually(lambda: stale(site, device), "it is stale", within=20)

    await site.kube.delete(path(device))
    await until_gone(site.kube, path(device))
    assert await told(device) == []
    assert await is_marked(device, name)
    await eventually(lambda: site.has_event("Decommissioned", saying=name), "it is told")

    await site.kube.delete(site.path("web"))
    await until_gone(site.kube, site.path("web"))
    assert await is_marked(device, name)
    async with device.beating():
        await device.register({"site": site.site})
        await eventually(lambda: site.device_object(device), "it registers anew")
        await site.registered(2)  # what comes later is served
        assert await is_marked(device, name)  # nobody knows yet that it was read
        await device.forget(name)
        await eventually(lambda: is_purged(device, name), "its marker is purged")


async def test_all_devices_can_be_deleted_at_once(site: Site):
    fleet = [site.device(number) for number in range(MANY)]
    for device in fleet:
        await device.register({"site": site.site})
    for device in fleet:
        await until_finalized(site, device)
    await site.deploy("web")
    await site.until_ready("web", f"0/{MANY}")

    for body in await site.kube.items(f"{FLEET}/devices"):
        await site.kube.delete(f"{FLEET}/devices/{body['metadata']['name']}")

    async def gone() -> bool:
        return not await site.kube.items(f"{FLEET}/devices")

    await eventually(gone, "all devices are gone", within=30)
    await site.until_ready("web", "0/0")


async def running(site: Site) -> SimulatedDevice:
    """Make a device that runs a deployment."""
    device = await site.registered()
    name = site.name("web")
    await site.deploy("web")
    wanted = await eventually(lambda: device.wanted(name), "the device is told")
    await device.report(name, Phase.RUNNING, wanted.revision)
    await site.until_ready("web", "1/1")
    return device


async def told(device: SimulatedDevice) -> list[str]:
    """List what stands at the keys that the device itself writes, but for markers."""
    async with aclosing(device.states.watch(kv.device_state_filter(device.id))) as events:
        found: list[object] = [event async for event in until_synced(events)]
    found.append(await device.infos.get(kv.device_info_key(device.id)))
    found.append(await device.heartbeats.get(kv.device_heartbeat_key(device.id)))
    return [entry.key for entry in found if isinstance(entry, Put)]


async def until_synced(events: AsyncIterator[T]) -> AsyncIterator[T]:
    """Pass a replay on, without what follows it."""
    async for event in events:
        if isinstance(event, Synced):
            return
        yield event


async def stale(site: Site, device: SimulatedDevice) -> bool:
    body = await site.device_object(device) or {}
    return condition(body.get("status", {}), "Stale").get("status") == "True"


async def until_finalized(site: Site, device: SimulatedDevice) -> None:
    async def look() -> bool:
        body = await site.device_object(device) or {"metadata": {}}
        return FINALIZER in body["metadata"].get("finalizers", ())

    await eventually(look, f"{device.id} carries the finalizer")


def path(device: SimulatedDevice) -> str:
    return f"{FLEET}/devices/{device.id}"
