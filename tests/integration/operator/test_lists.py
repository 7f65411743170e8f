"""Lists of a real API server, by pages of a few objects, to their end."""

from uuid import uuid4

import pytest

from fleet.contracts.names import DeviceId
from fleet.operator.adapters.kubernetes import KubernetesCluster
from lab.services.cluster.client import kube_client
from tests.kube_api import KubeApi
from tests.operator_process import install

COUNT, PAGE = 7, 3


pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def environment(kube_api: KubeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the administrator's kubeconfig be the one that is read."""
    monkeypatch.setenv("KUBECONFIG", str(kube_api.kubeconfig))


@pytest.mark.usefixtures("environment")
async def test_every_device_of_every_page_is_listed_once(kube_api: KubeApi):
    async with kube_client(kube_api.kubeconfig) as kube:
        await install(kube)
    cluster, prefix = KubernetesCluster(page=PAGE), f"p{uuid4().hex[:8]}"
    names = {f"{prefix}-{number}" for number in range(COUNT)}
    try:
        for name in names:
            await cluster.apply_device(DeviceId(name), {})
        pages = [page async for page in cluster.list_devices()]
    finally:
        await cluster.close()
    assert all(len(page) <= PAGE for page in pages)
    assert len(pages) > COUNT // PAGE
    found = [body["metadata"]["name"] for page in pages for body in page]
    assert sorted(name for name in found if name.startswith(prefix)) == sorted(names)
