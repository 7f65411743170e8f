"""Lists of a real API server, by pages of a few objects, to their end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from fleet import errors
from fleet.bus.memory import MemoryServer
from fleet.contracts.names import DeviceId
from fleet.operator.adapters.kubernetes import KubernetesCluster
from fleet.operator.adapters.metrics import Metrics
from fleet.operator.controller import Controller
from fleet.operator.ports import Body
from lab.services.cluster.client import kube_client
from tests.kube_api import ControlPlane, KubeApi, missing_binaries, running_control_plane
from tests.operator_process import install

COUNT, PAGE = 7, 3


pytestmark = pytest.mark.timeout(120)


class Interrupted(KubernetesCluster):
    """Has a device made and something happen, once, after the first page of a list of devices."""

    def __init__(self) -> None:
        super().__init__(page=PAGE)
        self.meanwhile: Callable[[], None] | None = None
        self.made: set[str] = set()

    async def list_devices(self) -> AsyncGenerator[list[Body], None]:
        async for page in super().list_devices():
            yield page
            meanwhile, self.meanwhile = self.meanwhile, None
            if meanwhile is not None:
                self.made.add(name := f"made-{len(self.made)}")
                await self.apply_device(DeviceId(name), {})
                meanwhile()


@asynccontextmanager
async def reached(api: KubeApi, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Interrupted]:
    """Reach an API server as its administrator, and have it know our kinds."""
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig))
    async with kube_client(api.kubeconfig) as kube:
        await install(kube)
    cluster = Interrupted()
    try:
        yield cluster
    finally:
        await cluster.close()


async def make(cluster: KubernetesCluster) -> set[str]:
    """Make devices of the test's own."""
    prefix = f"p{uuid4().hex[:8]}"
    names = {f"{prefix}-{number}" for number in range(COUNT)}
    for name in names:
        await cluster.apply_device(DeviceId(name), {})
    return names


async def test_every_device_of_every_page_is_listed_once(
    kube_api: KubeApi, monkeypatch: pytest.MonkeyPatch
):
    async with reached(kube_api, monkeypatch) as cluster:
        names = await make(cluster)
        pages = [page async for page in cluster.list_devices()]
    assert all(len(page) <= PAGE for page in pages)
    assert len(pages) > COUNT // PAGE
    found = [body["metadata"]["name"] for page in pages for body in page]
    assert sorted(set(found) & names) == sorted(names)
    assert len(found) == len(set(found))


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[ControlPlane]:
    """An API server that asks etcd for each page: a cache would remember what etcd forgot."""
    if missing := missing_binaries():
        pytest.skip(f"not on the PATH: {', '.join(missing)}; ./dev provides them")
    with running_control_plane(tmp_path, flags=["--watch-cache=false"]) as plane:
        yield plane


async def test_a_list_that_expires_between_its_pages_is_begun_again_and_loses_nobody(
    forgetful: ControlPlane, monkeypatch: pytest.MonkeyPatch
):
    async with reached(forgetful.api, monkeypatch) as cluster:
        names = await make(cluster)
        controller = Controller(MemoryServer().connect(), cluster, Metrics())
        informer, devices = controller.informer, controller.store.devices
        await informer.list_all()
        assert set(devices) == names

        cluster.meanwhile = forgetful.compact
        with pytest.raises(errors.ClusterUnavailable, match="410"):
            await informer.list_all()
        assert set(devices) == names

        listed = asyncio.Event()

        async def resynced() -> None:
            listed.set()

        cluster.meanwhile = forgetful.compact
        async with asyncio.TaskGroup() as group:
            listing = group.create_task(informer.keep_listing(timedelta(hours=1), resynced))
            await listed.wait()
            listing.cancel()
        assert len(cluster.made) == 2
        assert set(devices) == names | cluster.made
