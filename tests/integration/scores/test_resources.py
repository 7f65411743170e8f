"""`K8sResourceScore` on a real API server."""

import uuid
from dataclasses import replace

import pytest

from fleet import errors
from fleet.scores import nats_resources
from fleet.scores.cluster import ApiCluster
from fleet.scores.nats import NatsBasicScore
from fleet.scores.nats_server import NatsServer, NatsUser
from fleet.scores.resources import K8sResourceScore
from fleet.scores.score import Change
from fleet.scores.topologies import K8sBareTopology
from tests.kube_api import KubeApi

pytestmark = pytest.mark.timeout(180)  # the first test waits for the API server


@pytest.fixture
def topology(kube_api: KubeApi) -> K8sBareTopology:
    return K8sBareTopology.from_env({"KUBECONFIG": str(kube_api.kubeconfig)})


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"t-{uuid.uuid4().hex[:12]}"


def _namespace(name):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _config(name, **data):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": name},
        "data": data,
    }


def _crd(name):
    schema = {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {"size": {"type": "integer", "default": 3}}}
        },
    }
    plural = f"{name.replace('-', '')}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{name}.example.com"},
        "spec": {
            "group": f"{name}.example.com",
            "scope": "Cluster",
            "names": {"kind": "Thing", "plural": plural},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def test_objects_come_about_and_a_second_time_nothing_changes(topology, name):
    score = K8sResourceScore((_namespace(name), _config(name, colour="blue")))
    assert score.interpret(topology).change is Change.CHANGED
    before = topology.cluster.read(_config(name))
    assert score.interpret(topology).change is Change.UNCHANGED
    assert topology.cluster.read(_config(name)) == before


def test_a_definition_is_served_before_what_is_of_its_kind_is_made(topology, name):
    thing = {"apiVersion": f"{name}.example.com/v1", "kind": "Thing", "metadata": {"name": "one"}}
    score = K8sResourceScore((_crd(name), {**thing, "spec": {}}))
    outcome = score.interpret(topology)
    assert outcome.change is Change.CHANGED, outcome.error
    live = topology.cluster.read(thing)
    assert live is not None
    assert live["spec"] == {"size": 3}
    assert score.interpret(topology).change is Change.UNCHANGED  # the server's default is no change


def test_a_dry_run_tells_what_would_change_and_changes_nothing(topology, name):
    K8sResourceScore((_namespace(name), _config(name, colour="blue"))).interpret(topology).expect()
    other = K8sResourceScore(_config(name, colour="red"))
    outcome = other.interpret(topology, dry_run=True)
    assert outcome.change is Change.CHANGED
    assert outcome.details == (f"ConfigMap {name}/settings: data.colour: blue -> red",)
    live = topology.cluster.read(_config(name))
    assert live is not None
    assert live["data"] == {"colour": "blue"}


def test_what_somebody_else_set_is_left_to_them(topology, name):
    K8sResourceScore((_namespace(name), _config(name, colour="blue"))).interpret(topology).expect()
    K8sResourceScore(_config(name, size="9"), manager="somebody").interpret(topology).expect()
    outcome = K8sResourceScore(_config(name, colour="blue")).interpret(topology)
    assert outcome.change is Change.UNCHANGED
    live = topology.cluster.read(_config(name))
    assert live is not None
    assert live["data"] == {"colour": "blue", "size": "9"}


def test_what_somebody_changed_is_put_right(topology, name):
    wanted = K8sResourceScore((_namespace(name), _config(name, colour="blue")))
    wanted.interpret(topology).expect()
    K8sResourceScore(_config(name, colour="red"), manager="somebody").interpret(topology).expect()
    assert wanted.interpret(topology).details == (
        f"ConfigMap {name}/settings: data.colour: red -> blue",
    )


def test_what_the_server_refuses_is_a_failed_outcome_with_its_words(topology, name):
    broken = _crd(name)
    broken["spec"]["scope"] = "Galaxy"
    outcome = K8sResourceScore(broken).interpret(topology)
    assert outcome.change is Change.FAILED
    assert isinstance(outcome.error, errors.ClusterRefused)
    assert "Galaxy" in str(outcome.error)


def test_a_token_is_accepted_and_a_made_up_one_is_not(kube_api, topology, name):
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "worker", "namespace": name},
    }
    K8sResourceScore((_namespace(name), account)).interpret(topology).expect()
    cluster = ApiCluster.from_kubeconfig(kube_api.kubeconfig)
    assert cluster.accepts(cluster.token(name, "worker", seconds=600))
    assert not cluster.accepts("made-up")


def test_an_account_that_is_not_there_gets_no_token(kube_api, name):
    cluster = ApiCluster.from_kubeconfig(kube_api.kubeconfig)
    with pytest.raises(errors.ClusterRefused):
        cluster.token(name, "nobody", seconds=600)


def test_nats_comes_about_as_objects_and_says_what_it_waits_for(topology):
    # This API has no node, so the pod never runs: all but the last step is proved here.
    impatient = K8sBareTopology(topology.cluster, patience=0.2)
    server = NatsServer(name="fleet", store="/", users=(NatsUser("admin", "hash"),))
    outcome = NatsBasicScore(server).interpret(impatient)
    assert "StatefulSet fleet-system/fleet-nats doesn't exist" in outcome.details
    assert isinstance(outcome.error, errors.NotReady)
    assert "StatefulSet fleet-system/fleet-nats to be ready" in str(outcome.error)
    assert NatsBasicScore(server).differences(impatient) == ()


def test_a_store_of_nats_that_grew_is_refused_in_words_and_nothing_changes(topology):
    impatient = K8sBareTopology(topology.cluster, patience=0.2)
    server = NatsServer(name="fleet", store="/", users=(NatsUser("admin", "hash"),))
    NatsBasicScore(server).interpret(impatient)
    workload = nats_resources.stateful_set(server)
    before = topology.cluster.read(workload)
    larger = replace(server, max_file_store=2 * server.max_file_store)
    outcome = NatsBasicScore(larger).interpret(impatient)
    assert isinstance(outcome.error, errors.ImmutableField)
    assert str(outcome.error) == (
        "StatefulSet fleet-system/fleet-nats: can't be changed while the object exists:"
        " spec.volumeClaimTemplates[0].spec.resources.requests.storage:"
        f" {server.max_file_store} -> {larger.max_file_store}; put it back, or delete the object"
        " (its volumes stay, as large as they are), and it is made anew"
    )
    assert topology.cluster.read(workload) == before
    assert NatsBasicScore(server).differences(impatient) == ()  # not half of it was applied


def _pods(app):
    return {
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [{"name": "a", "image": "x"}]},
    }


def _workload(app):
    return {"selector": {"matchLabels": {"app": app}}, "template": _pods(app)}


def _role_binding(role):
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
    }


def _job(command):
    pods = {"containers": [{"name": "a", "image": "x", "command": [command]}]}
    template = {"spec": {**pods, "restartPolicy": "Never"}}
    return {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": template}}


def _fixed(value):
    return {"apiVersion": "v1", "kind": "ConfigMap", "immutable": True, "data": {"k": value}}


def _secret(kind):
    return {"apiVersion": "v1", "kind": "Secret", "type": kind, "data": {}}


@pytest.mark.parametrize(
    ("was", "wanted", "field"),
    [
        (
            {"apiVersion": "apps/v1", "kind": "Deployment", "spec": _workload("a")},
            {"apiVersion": "apps/v1", "kind": "Deployment", "spec": _workload("b")},
            "spec.selector.matchLabels.app: a -> b",
        ),
        (
            {"apiVersion": "apps/v1", "kind": "DaemonSet", "spec": _workload("a")},
            {"apiVersion": "apps/v1", "kind": "DaemonSet", "spec": _workload("b")},
            "spec.selector.matchLabels.app: a -> b",
        ),
        (_job("one"), _job("other"), "spec.template.spec.containers[0].command[0]: one -> other"),
        (_role_binding("one"), _role_binding("other"), "roleRef.name: one -> other"),
        (_fixed("one"), _fixed("other"), "data.k: one -> other"),
        (_secret("example.com/one"), _secret("example.com/other"), "exists: type"),
    ],
    ids=lambda value: value.get("kind", "") if isinstance(value, dict) else "",
)
def test_a_field_that_cannot_change_is_refused_in_words(topology, name, was, wanted, field):
    placed = {"metadata": {"name": "fixed", "namespace": name}}
    K8sResourceScore((_namespace(name), {**was, **placed})).interpret(topology).expect()
    outcome = K8sResourceScore({**wanted, **placed}).interpret(topology)
    assert isinstance(outcome.error, errors.ImmutableField), outcome.error
    assert field in str(outcome.error)
