"""NATS as objects of a cluster."""

import base64
from dataclasses import replace

from fleet.scores import nats_resources
from fleet.scores.nats_server import NatsServer, NatsUser

SERVER = NatsServer(
    name="lab",
    store="/somewhere/on/this/host",
    users=(NatsUser("admin", "$2b$04$admin"),),
    address="10.213.0.1",
    port=14222,
)


def _by_kind(server):
    return {manifest["kind"]: manifest for manifest in nats_resources.manifests_of(server)}


def test_the_namespace_comes_first_and_holds_the_rest():
    first, *rest = nats_resources.manifests_of(SERVER)
    assert first["kind"] == "Namespace"
    assert {manifest["metadata"]["namespace"] for manifest in rest} == {"fleet-system"}
    assert {manifest["metadata"]["name"] for manifest in rest} == {"fleet-nats"}


def test_the_configuration_is_a_secret_that_knows_the_pod_and_not_the_host():
    data = _by_kind(SERVER)["Secret"]["data"]
    text = base64.b64decode(data["nats.conf"]).decode()
    assert '"$2b$04$admin"' in text
    assert 'listen: "0.0.0.0:4222"' in text
    assert "/somewhere/on/this/host" not in text


def test_another_configuration_replaces_the_pod():
    other = replace(SERVER, users=())
    template = _by_kind(SERVER)["StatefulSet"]["spec"]["template"]["metadata"]
    changed = _by_kind(other)["StatefulSet"]["spec"]["template"]["metadata"]
    assert template["labels"] == changed["labels"]
    assert template["annotations"] != changed["annotations"]


def test_the_service_leads_to_the_pods():
    objects = _by_kind(SERVER)
    labels = objects["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    assert objects["Service"]["spec"]["selector"] == labels
