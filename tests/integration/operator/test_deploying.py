"""From a `Deployment` to desired state, and from reports to its status, over real parts."""

import pytest

from tests.integration.operator.site import Site, eventually

pytestmark = pytest.mark.timeout(120)  # the first test of a module starts the control plane


async def test_a_deployment_reaches_the_devices_that_it_selects(site: Site):
    chosen = await site.registered(1)
    other = site.device(2)
    await other.register({"site": "elsewhere"})

    name = f"{site.site}-web"
    body = await site.deploy(name)

    wanted = await eventually(lambda: chosen.wanted(name), "the device is told")
    assert wanted.data == {"services": [{"name": "web", "image": "web:1"}]}
    assert wanted.owner is not None
    assert wanted.owner.uid == body["metadata"]["uid"]
    assert await other.wanted(name) is None
    status = await site.until_ready(name, "0/1")
    assert status["aggregate"]["pending"] == 1
