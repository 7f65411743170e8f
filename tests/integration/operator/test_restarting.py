"""A restart of the operator: it finds all that it wrote, and writes nothing again."""

import asyncio

import pytest

from fleet.contracts.messages import Phase
from lab.services.cluster.client import FLEET
from tests.integration.operator.site import Site, is_marked, owner_uid, until_gone
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(120)  # each test starts an operator, the first all of its parts

WRITES = ("deployment status", "device", "device status")


async def test_a_restart_writes_nothing_that_is_so_already(site: Site):
    device = await site.registered()
    name = site.name("web")
    await site.deploy("web")
    wanted = await eventually(lambda: device.wanted(name), "the device is told")
    await device.report(name, Phase.RUNNING, wanted.revision)
    await site.until_ready("web", "1/1")
    await eventually(
        lambda: site.device_where(device, lambda body: body["status"].get("lastHeartbeat")), "heard"
    )
    await eventually(
        lambda: site.device_where(
            device, lambda body: body["status"]["summary"]["deployments"] == "1/1"
        ),
        "counted",
    )
    versions = await settled(site)

    site.operator.kill()
    await device.beat()
    site.operator.start()
    await site.until_operator_ready()
    await acts_again(site)

    assert [await site.metric("fleet_status_writes_total", what=what) for what in WRITES] == [
        1,  # of the deployment that shows that it acts
        0,
        0,
    ]
    assert await site.metric("fleet_published_total", action="mark") == 0
    assert {k: v for k, v in (await resource_versions(site)).items() if k in versions} == versions


async def test_what_changed_meanwhile_is_caught_up_with(site: Site):
    device = await site.registered()
    name = site.name("web")
    await site.deploy("web", image="web:1")
    wanted = await eventually(lambda: device.wanted(name), "the device is told")
    await device.report(name, Phase.RUNNING, wanted.revision)
    await site.until_ready("web", "1/1")

    site.operator.stop()
    await site.kube.delete(site.path("web"))
    site.operator.start()

    await eventually(lambda: is_marked(device, name), "the device is told to stop", within=30)
    await device.forget(name)
    await until_gone(site.kube, site.path("web"))


async def test_a_resource_made_again_adopts_its_keys(site: Site):
    device = await site.registered()
    name = site.name("web")
    await site.deploy("web")
    before = await eventually(lambda: device.wanted(name), "the device is told")
    await eventually(lambda: site.with_finalizer("web"), "the finalizer is set")

    site.operator.stop()
    await site.release_by_hand("web")
    again = await site.deploy("web")
    site.operator.start()

    async def adopted() -> bool:
        found = await device.wanted(name)
        uid = found.owner.uid if found and found.owner else ""
        assert found is not None, "the key must never be gone"
        assert found.revision == before.revision
        return bool(uid == again["metadata"]["uid"])

    await eventually(adopted, "the new resource owns the key", within=30)


async def test_who_stands_in_the_buckets_holds_the_name_though_the_other_is_older(site: Site):
    await site.namespace(site.site)
    device = await site.registered()
    name = site.name("web")
    await site.deploy("web")
    before = await eventually(lambda: device.wanted(name), "the device is told")
    await site.deploy("web", image="second:1", namespace=site.site)
    await eventually(
        lambda: site.status_where("web", lambda s: s["reason"] == "NameConflict", site.site),
        "the second is refused",
    )

    site.operator.stop()
    await site.release_by_hand("web")
    again = await site.deploy("web")  # younger now than the one that was refused
    site.operator.start()
    await site.until_operator_ready()

    async def adopted() -> bool:
        return await owner_uid(device, name) == str(again["metadata"]["uid"])

    await eventually(adopted, "the incumbent holds its name")
    await site.until_ready("web", "0/1")
    found = await device.wanted(name)
    assert found is not None
    assert found.revision == before.revision
    status = await site.status_where("web", lambda s: s["reason"] == "NameConflict", site.site)
    assert status is not None
    assert status["aggregate"]["matched"] == 0


async def test_an_orphan_is_reported_and_left_alone(site: Site):
    device = await site.registered()
    name = site.name("web")
    await site.deploy("web")
    before = await eventually(lambda: device.wanted(name), "the device is told")
    await eventually(lambda: site.with_finalizer("web"), "the finalizer is set")

    site.operator.stop()
    await site.release_by_hand("web")
    site.operator.start()
    await site.until_operator_ready()

    async def reported() -> bool:
        return await site.metric("fleet_orphans") == 1

    await eventually(reported, "the orphan is reported")
    assert await device.wanted(name) == before


async def test_it_waits_for_nats_and_the_api_server_and_ends_when_told(site: Site):
    assert site.operator.stop() == 0
    site.operator.nats.pause()
    site.operator.start()
    try:
        status, text = await eventually(lambda: unready_page(site), "it serves", within=30)
        assert (status, text) == (503, "not connected to NATS\n")
        assert (await site.page("/healthz"))[0] == 200
    finally:
        site.operator.nats.resume()
    await site.until_operator_ready()


async def unready_page(site: Site) -> tuple[int, str] | None:
    """Read the readiness, once the operator serves."""
    try:
        return await site.page("/readyz")
    except OSError:
        return None


async def acts_again(site: Site) -> None:
    """Wait until the operator has acted on something that came after its start."""
    await site.deploy("later", labels={"site": "nowhere"})
    await site.until_ready("later", "0/0")


async def settled(site: Site) -> dict[str, str]:
    """Wait until nothing was written for longer than a status waits for its turn."""
    loop = asyncio.get_running_loop()
    since, seen = loop.time(), await resource_versions(site)

    async def look() -> dict[str, str] | None:
        nonlocal since, seen
        found = await resource_versions(site)
        if found != seen:
            since, seen = loop.time(), found
        return seen if loop.time() - since > 1.5 else None

    return await eventually(look, "nothing is written any more", within=30)


async def resource_versions(site: Site) -> dict[str, str]:
    """Read the version of every object of Fleet's."""
    bodies = [
        body
        for plural in ("deployments", "devices")
        for body in await site.kube.items(f"{FLEET}/{plural}")
    ]
    return {body["metadata"]["uid"]: body["metadata"]["resourceVersion"] for body in bodies}
