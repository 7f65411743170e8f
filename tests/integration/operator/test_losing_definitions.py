"""A CRD is deleted, with every object of it, and comes again: no device is touched."""

from collections.abc import Iterator

import pytest
import yaml

from fleet.contracts.messages import Phase
from fleet.contracts.schemas import crds
from lab.services.cluster.client import FLEET, Refused
from tests.integration.operator.site import Site, is_marked, owner_uid, until_gone
from tests.kube_api import ControlPlane, KubeApi, running_control_plane
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(180)  # a control plane is started

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One of this module's own, since its definitions go."""
    with running_control_plane(tmp_path_factory.mktemp("plane")) as plane:
        yield plane


@pytest.fixture(scope="module")
def kube_api(control_plane: ControlPlane) -> KubeApi:
    return control_plane.api


@pytest.fixture(scope="module")
def operator_environment() -> dict[str, str]:
    return {"FLEET_RESYNC": "1"}


@pytest.mark.parametrize("plurals", [("deployments",), ("devices",), ("deployments", "devices")])
async def test_a_definition_that_goes_and_comes_again_touches_no_device(
    site: Site, plurals: tuple[str, ...]
):
    device = await site.registered()
    name = site.name("web")
    await site.deploy("web")
    wanted = await eventually(lambda: device.wanted(name), "the device is told")
    await device.report(name, Phase.RUNNING, wanted.revision)
    await site.until_ready("web", "1/1")

    for plural in plurals:
        path = f"{DEFINITIONS}/{plural}.fleet.nationtech.io"
        await site.kube.delete(path)
        await until_gone(site.kube, path)
    assert await device.wanted(name) == wanted
    assert not await is_marked(device, name)

    for text in crds.manifests().values():
        body = yaml.safe_load(text)
        await site.kube.apply(f"{DEFINITIONS}/{body['metadata']['name']}", body)
    await eventually(lambda: are_served(site), "both kinds are served", within=60)
    await site.deploy("web")
    await eventually(
        lambda: site.device_object(device), "the device is registered again", within=60
    )
    await site.until_ready("web", "1/1")
    again = await device.wanted(name)
    assert again is not None
    assert again.revision == wanted.revision
    uid = (await site.kube.find(site.path("web")) or {})["metadata"]["uid"]
    assert await owner_uid(device, name) == uid
    assert site.operator.process is not None
    assert site.operator.process.poll() is None

    await site.deploy("web", image="web:2")

    async def told_again() -> bool:
        found = await device.wanted(name)
        return found is not None and found.revision != wanted.revision

    await eventually(told_again, "the definition is watched again", within=60)
    events = await site.kube.items("/api/v1/events?fieldSelector=reason=InternalError")
    assert [event["message"] for event in events] == []


async def are_served(site: Site) -> bool:
    try:
        return all([await site.kube.find(f"{FLEET}/{p}") for p in ("deployments", "devices")])
    except Refused:
        return False  # 429: storage is (re)initializing
