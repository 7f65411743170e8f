"""kubectl itself refuses what can't work, and says what is wrong with it."""

import json

import pytest

from tests.using_lab.cluster import Cluster, Refused
from tests.using_lab.manifests import NAMESPACE, Manifest, deployment, service

IMAGE = "registry.invalid/page:v1"
GOOD = service("page", IMAGE)
ON = {"e2e": "nobody"}


def _with(*services: Manifest, name: str = "bad") -> Manifest:
    return deployment(name, *services, on=ON)


def _of_type(score: str) -> Manifest:
    manifest = _with(GOOD)
    manifest["spec"]["score"]["type"] = score
    return manifest


def _without(field: str) -> Manifest:
    manifest = _with(GOOD)
    del manifest["spec"][field]
    return manifest


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        pytest.param(_with(GOOD, GOOD), ["name"], id="two services of one name"),
        pytest.param(_with(service("Page!", IMAGE)), ["name", "Page!"], id="bad service name"),
        pytest.param(_with(GOOD | {"imagee": "x"}), ["imagee"], id="unknown field"),
        pytest.param(_with(service("page", IMAGE, port=70000)), ["65535"], id="port too high"),
        pytest.param(
            _with(GOOD | {"ports": [{"host": 0, "container": 80}]}), ["host"], id="port 0"
        ),
        pytest.param(_of_type("PodmanV9"), ["PodmanV9", "PodmanV0"], id="unknown score type"),
        pytest.param(_with(GOOD, name="n" * 64), ["63"], id="name of 64 characters"),
        pytest.param(_with(GOOD, name="two.parts"), ["name"], id="name with a dot"),
        pytest.param(_with(), ["services"], id="no service"),
        pytest.param(_with({"name": "page"}), ["image"], id="service without image"),
        pytest.param(_without("targetSelector"), ["targetSelector"], id="no selector"),
        pytest.param(_without("score"), ["score"], id="no score"),
        pytest.param(
            _with(service("a", IMAGE, port=80), service("b", IMAGE, port=80)),
            ["port"],
            id="two services on one host port",
        ),
        pytest.param(
            _with(GOOD | {"restartPolicy": "Sometimes"}),
            ["Sometimes", "Always"],
            id="unknown restart policy",
        ),
    ],
)
def test_a_bad_deployment_is_refused_with_the_reason(
    cluster: Cluster, manifest: Manifest, words: list[str]
):
    reason = cluster.refusal(manifest)

    assert [word for word in words if word not in reason] == [], reason
    assert manifest["metadata"]["name"] not in cluster.names("fleetdep", "-n", NAMESPACE)


def test_what_is_good_apart_from_the_tables_changes_is_accepted(cluster: Cluster):
    cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(_with(GOOD)))


def test_a_running_deployment_cannot_be_patched_into_a_bad_one(cluster: Cluster):
    cluster.apply(_with(GOOD, name="good"))
    try:
        with pytest.raises(Refused, match="PodmanV9"):
            cluster.kubectl(
                "patch", "fleetdep", "good", "-n", NAMESPACE, "--type=merge",
                '--patch={"spec": {"score": {"type": "PodmanV9"}}}',
            )  # fmt: skip
    finally:
        cluster.kubectl("delete", "fleetdep", "good", "-n", NAMESPACE, "--timeout=60s")
