"""etcd goes, and comes back with or without what it knew; a status is edited by hand."""

import asyncio
from collections.abc import Iterator

import pytest

from fleet.contracts.messages import Phase, ReconcileScore
from lab.bench.simulated_device import SimulatedDevice
from lab.services.cluster.client import FLEET
from tests.integration.operator.site import Body, Site, condition, owner_uid
from tests.kube_api import ControlPlane, KubeApi, running_control_plane
from tests.operator_process import install, make_token
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(180)  # a control plane is started, and started again


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One of this module's own, since it is wiped."""
    with running_control_plane(tmp_path_factory.mktemp("plane")) as plane:
        yield plane


@pytest.fixture(scope="module")
def kube_api(control_plane: ControlPlane) -> KubeApi:
    return control_plane.api


@pytest.fixture(scope="module")
def operator_environment() -> dict[str, str]:
    return {"FLEET_RESYNC": "1"}


async def running(site: Site) -> tuple[SimulatedDevice, ReconcileScore]:
    """Have a device run a deployment."""
    device = await site.registered()
    await site.deploy("web")
    wanted = await eventually(lambda: device.wanted(site.name("web")), "the device is told")
    await device.report(site.name("web"), Phase.RUNNING, wanted.revision)
    await site.until_ready("web", "1/1")
    return device, wanted


@pytest.mark.parametrize("status", [None, {"ready": "99/99", "reason": "Sabotage"}], ids=str)
async def test_a_status_edited_by_hand_is_put_right(site: Site, status: Body | None):
    device, _ = await running(site)
    right = await site.until_ready("web", "1/1")
    await eventually(
        lambda: site.device_where(device, lambda b: condition(b["status"], "Ready")), "it is ready"
    )

    for path in (site.path("web"), f"{FLEET}/devices/{device.id}"):
        edited = {"status": {**right, **status} if status and "web" in path else None}
        await site.kube.patch(f"{path}/status", edited)

    await eventually(
        lambda: site.status_where("web", lambda s: s["aggregate"] == right["aggregate"]),
        "the deployment's status is right again",
    )
    await site.until_ready("web", "1/1")
    await eventually(
        lambda: site.device_where(device, lambda b: condition(b["status"], "Ready")),
        "the device's status is right again",
    )


async def test_an_api_server_that_comes_back_is_listed_and_watched_again(
    site: Site, control_plane: ControlPlane
):
    device, before = await running(site)
    await restart(control_plane)
    assert await device.wanted(site.name("web")) == before

    await site.deploy("web", image="web:2")

    async def told_again() -> bool:
        found = await device.wanted(site.name("web"))
        return found is not None and found.revision != before.revision

    await eventually(told_again, "the device is told of the second image", within=60)


async def test_etcd_wiped_and_everything_applied_again_withdraws_nothing(
    site: Site, control_plane: ControlPlane
):
    device, before = await running(site)
    marked = await site.metric("fleet_published_total", action="mark")

    await restart(control_plane, wiped=True)
    await install(site.kube)
    (site.operator.directory / "token").write_text(await make_token(site.kube))
    await eventually(
        lambda: has_no_deployment(site), "the operator sees that all is gone", within=60
    )
    await site.resyncs()
    assert await device.wanted(site.name("web")) == before

    again = await site.deploy("web")

    async def adopted() -> bool:
        assert await device.wanted(site.name("web")) is not None, "the key must never be gone"
        uid = await owner_uid(device, site.name("web"))
        return bool(uid == again["metadata"]["uid"])

    await eventually(adopted, "the new resource owns the key", within=60)
    found = await device.wanted(site.name("web"))
    assert found is not None
    assert found.revision == before.revision
    await site.until_ready("web", "1/1")
    assert await site.metric("fleet_published_total", action="mark") == marked


async def restart(control_plane: ControlPlane, *, wiped: bool = False) -> None:
    """Kill both parts and start them again; our own connections notice meanwhile."""
    await asyncio.to_thread(control_plane.kill)
    if wiped:
        control_plane.wipe()
    await asyncio.to_thread(control_plane.start)


async def has_no_deployment(site: Site) -> bool:
    return await site.metric("fleet_deployments") == 0
