"""Events stand where ``kubectl describe`` looks: one object for each thing told, counting up."""

import pytest

from fleet.contracts.messages import Phase, StateError
from lab.bench.simulated_device import SimulatedDevice
from lab.services.cluster.client import FLEET
from tests.integration.operator.site import Body, Site, condition
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(120)  # the first test of a module starts the control plane

SILENCE = 3
CROWD = 80


@pytest.fixture(scope="module")
def operator_environment() -> dict[str, str]:
    return {"FLEET_SILENCE": str(SILENCE)}


async def test_failures_are_told_in_one_event_that_names_devices_and_reasons(site: Site):
    one, other = [await site.registered(number) for number in (1, 2)]
    body = await site.deploy("web")
    await fail(site, one, "ImageNotFound")
    event = await until_told(site, body, "DevicesFailed")
    assert event["message"] == f"1 of 2 devices failed: ImageNotFound on {one.id}"
    assert (event["type"], event["count"]) == ("Warning", 1)
    assert event["involvedObject"]["kind"] == "Deployment"
    assert event["involvedObject"]["namespace"] == "default"

    await fail(site, other, "Unhealthy")
    event = await until_told(site, body, "DevicesFailed", count=2)
    assert event["message"] == (
        f"2 of 2 devices failed: ImageNotFound on {one.id}; Unhealthy on {other.id}"
    )


async def test_a_deployment_that_becomes_available_says_so_again(site: Site):
    device = await site.registered()
    body = await site.deploy("web")
    await run(site, device)
    await until_told(site, body, "Available")
    await fail(site, device, "Unhealthy")
    await until_told(site, body, "DevicesFailed")
    await run(site, device)
    event = await until_told(site, body, "Available", count=2)
    assert event["message"] == "1 of 1 device running"
    assert event["type"] == "Normal"


async def test_events_about_a_device_stand_in_the_namespace_default(site: Site):
    device = site.device()
    async with device.beating():
        await device.register({"site": site.site, "kubernetes.io/hostname": "x"})
        body = await eventually(lambda: site.device_object(device), "it is registered")
        event = await until_told(site, body, "Registered")
        assert event["involvedObject"]["kind"] == "Device"
        assert "namespace" not in event["involvedObject"]
        await until_told(site, body, "LabelsRefused")
        await site.kube.patch(
            f"{FLEET}/devices/{device.id}", {"metadata": {"labels": {"site": "elsewhere"}}}
        )
        await until_told(site, body, "LabelConflict")
    await until_told(site, body, "Stale")
    async with device.beating():
        await until_told(site, body, "Heard")


async def test_a_crowd_that_falls_silent_is_a_few_events_and_a_sum(site: Site):
    crowd = [site.device(number) for number in range(CROWD)]
    for device in crowd:
        await device.register({"site": site.site})
    await eventually(lambda: are_stale(site), "all are stale", within=40)
    await eventually(lambda: site.has_event("Stale", saying=" more, which are not"), "a sum")
    posted = [e for e in await events(site) if e["reason"] == "Stale"]
    assert len(posted) < CROWD
    assert await site.metric("fleet_events_total", outcome="left out") > 0


async def fail(site: Site, device: SimulatedDevice, reason: str) -> None:
    name = site.name("web")
    wanted = await eventually(lambda: device.wanted(name), f"{device.id} is told")
    error = StateError(reason=reason, message="told by the test")
    await device.report(name, Phase.FAILED, wanted.revision, error)


async def run(site: Site, device: SimulatedDevice) -> None:
    name = site.name("web")
    wanted = await eventually(lambda: device.wanted(name), f"{device.id} is told")
    await device.report(name, Phase.RUNNING, wanted.revision)


async def until_told(site: Site, body: Body, reason: str, count: int = 1) -> Body:
    async def look() -> Body | None:
        event = await site.event_about(body["metadata"]["uid"], reason)
        return event if event and event["count"] >= count else None

    return await eventually(look, f"{reason} is told", within=20)


async def events(site: Site) -> list[Body]:
    found = await site.kube.items("/api/v1/namespaces/default/events")
    return [e for e in found if e["involvedObject"]["name"].startswith(site.site)]


async def are_stale(site: Site) -> bool:
    found = await site.kube.items(f"{FLEET}/devices")
    ours = [body for body in found if body["metadata"]["name"].startswith(site.site)]
    stale = [condition(body.get("status", {}), "Stale").get("status") for body in ours]
    return stale == ["True"] * CROWD
