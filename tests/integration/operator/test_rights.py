"""The operator's account may do what the operator does, and nothing else."""

import pytest

from lab.services.cluster.client import FLEET, KubeClient, Refused, kube_client
from tests.integration.operator.site import Site
from tests.operator_process import ACCOUNT, make_token
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(120)  # the first test of a module starts the control plane

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/secrets"),
        ("GET", "/api/v1/pods"),
        ("GET", "/api/v1/nodes"),
        ("GET", "/api/v1/namespaces"),
        ("GET", "/api/v1/namespaces/default"),
        ("PATCH", "/api/v1/namespaces/fleet-system"),
        ("GET", "/api/v1/namespaces/fleet-system/configmaps"),
        ("GET", "/api/v1/events"),
        ("GET", "/apis/apps/v1/deployments"),
        ("GET", DEFINITIONS),
        ("GET", f"{DEFINITIONS}/things.example.com"),
        ("PATCH", f"{DEFINITIONS}/deployments.fleet.nationtech.io"),
        ("DELETE", f"{DEFINITIONS}/deployments.fleet.nationtech.io"),
        ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles"),
        ("POST", f"{FLEET}/namespaces/default/deployments"),
        ("DELETE", f"{FLEET}/namespaces/default/deployments/any"),
        ("DELETE", f"{FLEET}/devices/any"),
        ("DELETE", "/api/v1/namespaces/default/events/any"),
        ("POST", f"{ACCOUNT}/token"),
    ],
)
async def test_what_is_not_the_operators_is_refused(site: Site, method: str, path: str):
    async with kube_client(site.operator.kubeconfig) as kube:
        with pytest.raises(Refused) as refused:
            await kube.request(method, path, None if method == "GET" else {})
    assert refused.value.status == 403


async def test_what_the_operator_needs_is_granted(site: Site):
    async with kube_client(site.operator.kubeconfig) as kube:
        assert await kube.items(f"{FLEET}/deployments") is not None
        assert await kube.items(f"{FLEET}/devices") is not None
        assert await kube.find("/api/v1/namespaces/fleet-system") is not None
        for plural in ("deployments", "devices"):
            assert await kube.find(f"{DEFINITIONS}/{plural}.fleet.nationtech.io") is not None


async def test_a_replaced_token_is_taken_up(site: Site):
    await site.deploy("before", labels={"site": "nowhere"})
    await eventually(lambda: site.with_finalizer("before"), "the operator works")
    async with kube_client(site.operator.kubeconfig) as old:
        await replace_account(site)
        await eventually(lambda: is_refused(old), "the old token is refused", within=40)

    await site.deploy("after", labels={"site": "nowhere"})
    await eventually(lambda: site.with_finalizer("after"), "kopf has the new token", within=40)
    await site.until_ready("after", "0/0")
    assert site.operator.process is not None
    assert site.operator.process.poll() is None


async def replace_account(site: Site) -> None:
    """Make the account anew, so that its old tokens are void, and write a new one."""
    await site.kube.delete(ACCOUNT)
    collection, _, name = ACCOUNT.rpartition("/")
    await site.kube.create(
        collection, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    )
    (site.operator.directory / "token").write_text(await make_token(site.kube))


async def is_refused(kube: KubeClient) -> bool:
    try:
        await kube.items(f"{FLEET}/devices")
    except Refused as exc:
        return exc.status == 401
    return False
