"""From a `Deployment` to desired state, and from reports to its status, over real parts."""

import asyncio

import pytest

from fleet.contracts.messages import Phase, StateError
from tests.integration.operator.site import (
    Site,
    condition,
    is_marked,
    is_purged,
    owner_uid,
    until_gone,
)
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(120)  # the first test of a module starts the control plane


async def test_a_deployment_reaches_the_devices_that_it_selects(site: Site):
    chosen = await site.registered(1)
    other = site.device(2)
    await other.register({"site": "elsewhere"})

    body = await site.deploy("web")

    wanted = await eventually(lambda: chosen.wanted(site.name("web")), "the device is told")
    assert wanted.data == {"services": [{"name": "web", "image": "web:1"}]}
    assert wanted.owner is not None
    assert wanted.owner.uid == body["metadata"]["uid"]
    assert await other.wanted(site.name("web")) is None
    status = await site.until_ready("web", "0/1")
    assert status["aggregate"]["pending"] == 1


async def test_reports_become_a_status(site: Site):
    good, bad, slow = [await site.registered(number) for number in (1, 2, 3)]
    await site.deploy("web")
    wanted = await eventually(lambda: good.wanted(site.name("web")), "the devices are told")

    await good.report(site.name("web"), Phase.RUNNING, wanted.revision)
    error = StateError(reason="ImageNotFound", message="no such image", service="web")
    await bad.report(site.name("web"), Phase.FAILED, wanted.revision, error)
    await slow.report(site.name("web"), Phase.RUNNING, "an older revision")

    status = await site.until_ready("web", "1/3")
    status = await eventually(
        lambda: site.status_where("web", lambda s: s["aggregate"]["failed"]), "one has failed"
    )
    sums = status["aggregate"]
    assert (sums["matched"], sums["pending"], sums["running"], sums["failed"]) == (3, 1, 1, 1)
    assert sums["lastError"]["deviceId"] == bad.id
    assert sums["lastError"]["reason"] == "ImageNotFound"
    assert sums["failing"] == [bad.id]
    assert condition(status, "Degraded")["reason"] == "ImageNotFound"
    assert status["reason"] == "ImageNotFound"
    assert status["observedGeneration"] == 1


async def test_a_new_spec_reaches_the_device_and_only_then_counts(site: Site):
    device = await site.registered()
    async with asyncio.TaskGroup() as tasks:
        agent = tasks.create_task(device.obey())
        await site.deploy("web", image="web:1")
        before = await site.until_ready("web", "1/1")
        await site.deploy("web", image="web:2")
        after = await eventually(
            lambda: site.status_where(
                "web", lambda s: s["observedGeneration"] == 2 and s["ready"] == "1/1"
            ),
            "the second generation runs",
        )
        agent.cancel()
    wanted = await device.wanted(site.name("web"))
    assert wanted is not None
    assert wanted.data["services"][0]["image"] == "web:2"
    assert condition(before, "Available")["status"] == condition(after, "Available")["status"]


async def test_labels_move_a_device_in_and_out(site: Site):
    device = await site.registered(role="idle")
    name = site.name("web")
    await site.deploy("web", labels={"site": site.site, "role": "web"})
    status = await site.until_ready("web", "0/0")
    assert "matches 0 of" in condition(status, "Available")["message"]

    await device.register({"site": site.site, "role": "web"})
    wanted = await eventually(lambda: device.wanted(name), "the device is told")
    await device.report(name, Phase.RUNNING, wanted.revision)
    await site.until_ready("web", "1/1")

    await device.register({"site": site.site, "role": "idle"})
    await eventually(lambda: is_marked(device, name), "the device is told to stop")
    await site.until_ready("web", "0/0")
    await device.forget(name)
    await eventually(lambda: is_purged(device, name), "the marker is purged")


async def test_deletion_waits_for_devices_that_are_heard(site: Site):
    device = await site.registered()
    name = site.name("web")
    await site.deploy("web")
    wanted = await eventually(lambda: device.wanted(name), "the device is told")
    await device.report(name, Phase.RUNNING, wanted.revision)
    body = await eventually(lambda: site.with_finalizer("web"), "the finalizer is set")
    assert body["metadata"]["finalizers"] == ["fleet.nationtech.io/finalizer"]

    await site.kube.delete(site.path("web"))
    await eventually(lambda: is_marked(device, name), "the device is told to stop")
    assert await site.kube.find(site.path("web")) is not None

    await device.forget(name)
    await until_gone(site.kube, site.path("web"))
    await eventually(lambda: is_purged(device, name), "the marker is purged")


async def test_deletion_of_what_runs_nowhere_is_quick(site: Site):
    await site.deploy("web")
    await eventually(lambda: site.with_finalizer("web"), "the finalizer is set")
    await site.kube.delete(site.path("web"))
    await until_gone(site.kube, site.path("web"))


async def test_whoever_does_not_hold_a_name_withdraws_nothing_when_it_goes(site: Site):
    await site.namespace(site.site)
    device = await site.registered()
    name = site.name("web")
    await site.deploy("web")
    wanted = await eventually(lambda: device.wanted(name), "the device is told")
    await site.deploy("web", image="second:1", namespace=site.site)
    await eventually(
        lambda: site.status_where("web", lambda s: s["reason"] == "NameConflict", site.site),
        "the second is refused",
    )
    await site.kube.delete(site.path("web", site.site))
    await until_gone(site.kube, site.path("web", site.site))
    assert await device.wanted(name) == wanted
    await site.until_ready("web", "0/1")


async def test_a_name_has_one_holder_and_the_next_takes_over(site: Site):
    await site.namespace(site.site)
    device = await site.registered()
    name = site.name("web")
    first = await site.deploy("web", image="first:1")
    wanted = await eventually(lambda: device.wanted(name), "the device is told")
    await device.report(name, Phase.RUNNING, wanted.revision)
    await site.until_ready("web", "1/1")

    second = await site.deploy("web", image="second:1", namespace=site.site)
    status = await eventually(
        lambda: site.status_where("web", lambda s: s["reason"] == "NameConflict", site.site),
        "the second is refused",
    )
    assert condition(status, "Accepted")["status"] == "False"
    assert f"default/{name}" in condition(status, "Accepted")["message"]
    assert status["aggregate"]["matched"] == 0
    assert await owner_uid(device, name) == first["metadata"]["uid"]
    await eventually(lambda: site.has_event("NameConflict", site.site), "an event tells of it")

    async with asyncio.TaskGroup() as tasks:
        agent = tasks.create_task(device.obey())
        await site.kube.delete(site.path("web"))
        await site.until_ready("web", "1/1", site.site)
        agent.cancel()
    assert await owner_uid(device, name) == second["metadata"]["uid"]
