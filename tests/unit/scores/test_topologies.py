"""`K8sBareTopology` takes a cluster as it is told, and finds none by itself."""

import pytest

from fleet import errors
from fleet.scores.topologies import K8sBareTopology

KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
"""


@pytest.fixture
def kubeconfig(tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG)
    return path


def test_the_environment_names_the_cluster(kubeconfig):
    topology = K8sBareTopology.from_env({"KUBECONFIG": str(kubeconfig)})
    topology.ensure_ready()  # does nothing: no server answers there
    with pytest.raises(errors.ClusterUnavailable, match=r"127\.0\.0\.1:1"):
        topology.cluster.serves("v1", "Namespace")


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path):
    missing = str(tmp_path / "missing")
    with pytest.raises(errors.InvalidConfig, match="missing"):
        K8sBareTopology.from_env({"KUBECONFIG": missing})


def test_a_kubeconfig_that_is_none_is_named(tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text("[]")
    with pytest.raises(errors.InvalidConfig, match=str(path)):
        K8sBareTopology.from_env({"KUBECONFIG": str(path)})


def test_outside_a_pod_the_environment_must_say(monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(errors.InvalidConfig, match="KUBECONFIG is not set"):
        K8sBareTopology.from_env({})
