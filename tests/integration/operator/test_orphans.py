"""Values whose owner is gone: they go slowly and few at a time, or upon a word that names them."""

import re

import pytest

from fleet.bus.port import Put
from fleet.contracts import kv, messages
from fleet.contracts.messages import Owner, Phase, ReconcileScore
from fleet.contracts.names import DeploymentName, DeviceId
from tests.integration.operator.site import Body, Site, is_marked, is_purged
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(120)  # the first test of a module starts the control plane

NAMESPACE = "/api/v1/namespaces/fleet-system"


@pytest.fixture(scope="module")
def operator_environment() -> dict[str, str]:
    return {"FLEET_ORPHAN_INTERVAL": "0", "FLEET_RESYNC": "1"}


async def test_a_few_orphans_go_once_two_resyncs_found_them(site: Site):
    await site.deploy("bystander", labels={"site": "nowhere"})
    keys = await orphans(site, 2)
    await eventually(lambda: none_is_left(site, keys), "they are gone", within=30)
    assert await site.metric("fleet_published_total", action="mark") >= 2


async def test_a_state_that_nobody_asked_for_is_answered_by_a_marker(site: Site):
    await site.deploy("bystander", labels={"site": "nowhere"})
    device = await site.registered()
    await device.report("forgotten", Phase.RUNNING, "whatever")
    await eventually(lambda: is_marked(device, "forgotten"), "the device is told to stop")
    await device.forget("forgotten")
    await eventually(lambda: is_purged(device, "forgotten"), "the marker is purged")


async def test_many_orphans_are_held_until_an_administrator_names_them(site: Site):
    await site.deploy("bystander", labels={"site": "nowhere"})
    keys = await orphans(site, 8)
    event = await eventually(lambda: request(site, "8 orphans"), "a word is asked for", within=30)
    assert await site.metric("fleet_orphans_held") == 8
    assert (await site.page("/readyz"))[0] == 200

    await say(site, "0123456789abcdef")
    await site.resyncs()
    assert not await none_is_left(site, keys[:1])

    match = re.search(r"kubectl annotate --overwrite namespace fleet-system (\S+)=(\S+)", event)
    assert match is not None
    await say(site, match[2])
    await eventually(lambda: none_is_left(site, keys), "they are gone", within=30)


async def test_without_any_deployment_not_one_orphan_goes(site: Site):
    """As it is with another cluster's kubeconfig, or once etcd was wiped."""
    for body in await site.kube.items("/apis/fleet.nationtech.io/v1alpha1/deployments"):
        await site.kube.delete(path_of(body))
    await eventually(lambda: is_empty(site), "no deployment is left", within=30)
    keys = await orphans(site, 1)
    await eventually(lambda: request(site, "no deployment at all"), "it is held", within=30)
    await site.resyncs()
    assert not await none_is_left(site, keys)


async def orphans(site: Site, count: int) -> list[str]:
    """Leave values of an owner that the API server never had."""
    owner = Owner(namespace="default", name=site.name("lost"), uid="gone", generation=1)
    value = ReconcileScore(type="PodmanV0", data={}, revision="x", owner=owner)
    name = DeploymentName(site.name("lost"))
    keys = [kv.desired_state_key(DeviceId(f"{site.site}-{n}"), name) for n in range(count)]
    for key in keys:
        await site.bus.bucket(messages.DESIRED_STATE).put(key, value)
    return keys


async def none_is_left(site: Site, keys: list[str]) -> bool:
    bucket = site.bus.bucket(messages.DESIRED_STATE)
    return not any([isinstance(await bucket.get(key), Put) for key in keys])


async def request(site: Site, saying: str) -> str:
    """Read the Event that asks for a word."""
    events: list[Body] = await site.kube.items(f"{NAMESPACE}/events")
    found = [e["message"] for e in events if e["reason"] == "OrphansHeld"]
    return next((message for message in found if saying in message), "")


async def say(site: Site, word: str) -> None:
    annotations = {"fleet.nationtech.io/remove-orphans": word}
    await site.kube.patch(NAMESPACE, {"metadata": {"annotations": annotations}})


async def is_empty(site: Site) -> bool:
    return await site.metric("fleet_deployments") == 0


def path_of(body: Body) -> str:
    metadata = body["metadata"]
    root = "/apis/fleet.nationtech.io/v1alpha1/namespaces"
    return f"{root}/{metadata['namespace']}/deployments/{metadata['name']}"
