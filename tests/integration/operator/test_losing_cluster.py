"""The API server goes and comes back: nothing stops meanwhile, and what was missed is found."""

from collections.abc import Iterator

import pytest

from fleet.contracts.messages import Phase
from tests.integration.operator.site import Site, is_marked, until_gone
from tests.kube_api import KubeApi
from tests.tcp_proxy import TcpProxy, tcp_proxy
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(180)  # the first test of a module starts the control plane


@pytest.fixture(scope="module")
def link(kube_api: KubeApi) -> Iterator[TcpProxy]:
    """The operator's link to the API server."""
    with tcp_proxy(("127.0.0.1", int(kube_api.url.rpartition(":")[2]))) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def operator_server(link: TcpProxy) -> str:
    return f"https://127.0.0.1:{link.port}"


async def test_what_changed_while_the_api_server_was_away_is_found(site: Site, link: TcpProxy):
    device = await site.registered()
    await site.deploy("web")
    await site.deploy("old")
    name, old = site.name("web"), site.name("old")
    wanted = await eventually(lambda: device.wanted(name), "the device is told")
    told = await eventually(lambda: device.wanted(old), "the device is told")
    await device.report(old, Phase.RUNNING, told.revision)
    await site.until_ready("old", "1/1")

    link.cut()
    await site.kube.delete(site.path("old"))
    await site.deploy("new")
    await device.report(name, Phase.RUNNING, wanted.revision)
    other = site.device(2)
    await other.register({"site": site.site})
    await eventually(lambda: is_noticed(site), "the operator notices", within=60)
    assert await device.wanted(name) == wanted
    link.mend()

    await eventually(lambda: other.wanted(name), "another device is served", within=60)
    await site.until_ready("web", "1/2")
    await eventually(lambda: device.wanted(site.name("new")), "the new one is there", within=60)
    await eventually(lambda: is_marked(device, old), "the old one is stopped", within=60)
    await device.forget(old)
    await until_gone(site.kube, site.path("old"))
    assert site.operator.process is not None
    assert site.operator.process.poll() is None


async def is_noticed(site: Site) -> bool:
    return await site.metric("fleet_work_failures_total", reason="ClusterUnavailable") >= 1
