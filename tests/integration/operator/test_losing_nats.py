"""NATS goes, and comes back, with or without what it knew."""

import pytest

from fleet import errors
from fleet.contracts.messages import Phase
from lab.services.cluster.client import FLEET
from tests.integration.operator.site import Site, condition
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(120)  # the first test of a module starts the control plane


async def test_what_happened_while_nats_was_away_is_caught_up_with(site: Site):
    device = await site.registered()
    name = site.name("web")
    await site.deploy("web", image="web:1")
    first = await eventually(lambda: device.wanted(name), "the device is told")
    await device.report(name, Phase.RUNNING, first.revision)
    await site.until_ready("web", "1/1")

    site.operator.nats.kill()
    await site.deploy("web", image="web:2")
    site.operator.nats.start()
    await site.bus.wait_for_session(after=site.bus.session)

    async def told_again() -> bool:
        found = await device.wanted(name)
        return found is not None and found.revision != first.revision

    await eventually(told_again, "the device is told of the second image", within=30)
    await site.until_ready("web", "0/1")


async def test_a_server_that_forgot_everything_is_told_again(site: Site):
    device = await site.registered()
    name = site.name("web")
    await site.deploy("web")
    before = await eventually(lambda: device.wanted(name), "the device is told")
    await device.report(name, Phase.RUNNING, before.revision)
    await site.until_ready("web", "1/1")
    body = await site.device_object(device)

    site.operator.nats.kill()
    site.operator.nats.wipe()
    site.operator.nats.start()
    await site.bus.wait_for_session(after=site.bus.session)
    await site.until_operator_ready()
    await site.bus.wait_for_session()

    async def told_again() -> bool:
        try:
            return await device.wanted(name) == before
        except errors.BusUnavailable:  # its bucket isn't made yet
            return False

    await eventually(told_again, "the device is told again", within=30)
    await site.until_ready("web", "0/1")
    found = await site.device_object(device)
    assert body is not None
    assert found is not None
    assert found["metadata"]["labels"] == body["metadata"]["labels"]
    assert condition(found["status"], "Stale")["status"] != "True"

    await device.report(name, Phase.RUNNING, before.revision)
    await site.until_ready("web", "1/1")


async def test_devices_can_be_deleted_though_all_that_was_known_of_them_is_lost(site: Site):
    device = await site.registered()
    await site.deploy("web")
    wanted = await eventually(lambda: device.wanted(site.name("web")), "the device is told")
    await device.report(site.name("web"), Phase.RUNNING, wanted.revision)
    await site.until_ready("web", "1/1")

    site.operator.nats.kill()
    await site.kube.delete(f"{FLEET}/devices/{device.id}")
    site.operator.nats.wipe()
    site.operator.nats.start()

    async def gone() -> bool:
        return await site.device_object(device) is None

    await eventually(gone, "it is released", within=60)
    await site.until_ready("web", "0/0")
