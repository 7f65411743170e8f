"""What manifests tell by themselves."""

import pytest

from fleet.scores import manifests


def _crd(**status):
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"kind": "Thing"},
            "versions": [{"name": "v1", "served": True}, {"name": "v1beta1", "served": False}],
        },
        "status": status,
    }


def _condition(kind, status, message=""):
    return {"type": kind, "status": status, "message": message}


def test_an_object_is_named_with_its_namespace():
    manifest = {"kind": "Secret", "metadata": {"name": "keys", "namespace": "fleet-system"}}
    assert manifests.describe(manifest) == "Secret fleet-system/keys"


def test_an_object_of_the_cluster_is_named_without():
    assert manifests.describe({"kind": "Namespace", "metadata": {"name": "a"}}) == "Namespace a"


def test_differences_are_told_by_path():
    live = {"kind": "X", "metadata": {"name": "a"}, "spec": {"replicas": 1, "ports": [{"p": 1}]}}
    wanted = {"kind": "X", "metadata": {"name": "a"}, "spec": {"replicas": 2, "ports": [{"p": 3}]}}
    assert manifests.differing(live, wanted) == (
        "spec.ports[0].p: 1 -> 3",
        "spec.replicas: 1 -> 2",
    )


def test_what_appears_and_what_goes_is_told():
    live = {"kind": "X", "metadata": {"name": "a"}, "old": True}
    wanted = {"kind": "X", "metadata": {"name": "a"}, "new": [1, 2]}
    assert manifests.differing(live, wanted) == (
        "new: nothing -> [1, 2]",
        "old: True -> nothing",
    )


def test_what_the_server_keeps_for_itself_is_no_difference():
    live = {
        "kind": "X",
        "metadata": {"name": "a", "resourceVersion": "7", "generation": 1, "managedFields": [1]},
        "status": {"ready": True},
    }
    wanted = {
        "kind": "X",
        "metadata": {"name": "a", "resourceVersion": "8", "generation": 2, "managedFields": [2]},
    }
    assert manifests.differing(live, wanted) == ()


def test_the_content_of_a_secret_is_never_told():
    live = {"kind": "Secret", "metadata": {"name": "a"}, "data": {"password": "b2xk"}}
    wanted = {"kind": "Secret", "metadata": {"name": "a"}, "data": {"password": "bmV3"}}
    assert manifests.differing(live, wanted) == ("data.password",)


@pytest.mark.parametrize(
    ("crd", "why"),
    [
        (None, "it doesn't exist"),
        (_crd(), "not NamesAccepted: no word yet"),
        (_crd(conditions=None), "not NamesAccepted: no word yet"),
        (
            _crd(conditions=[_condition("NamesAccepted", "False", "name is taken")]),
            "not NamesAccepted: name is taken",
        ),
        (
            _crd(conditions=[_condition("NamesAccepted", "True")]),
            "not Established: no word yet",
        ),
        (
            _crd(
                conditions=[_condition("NamesAccepted", "True"), _condition("Established", "True")]
            ),
            "",
        ),
    ],
)
def test_a_definition_counts_once_it_is_established(crd, why):
    assert manifests.unestablished(crd) == why


def test_only_served_versions_are_waited_for():
    assert manifests.served_kinds(_crd()) == ({"apiVersion": "example.com/v1", "kind": "Thing"},)


def _workload(generation, **status):
    return {
        "metadata": {"name": "a", "generation": generation},
        "spec": {"replicas": 1},
        "status": status,
    }


@pytest.mark.parametrize(
    ("workload", "why"),
    [
        (None, "it doesn't exist"),
        (
            _workload(2, observedGeneration=1, readyReplicas=1, updatedReplicas=1),
            "its controller has not looked at it yet",
        ),
        (
            _workload(2, observedGeneration=2, readyReplicas=1),
            "0 of 1 replicas are up to date and ready",
        ),
        (_workload(2, observedGeneration=2, readyReplicas=1, updatedReplicas=1), ""),
    ],
)
def test_a_workload_is_up_once_its_new_replicas_are_ready(workload, why):
    assert manifests.unready_replicas(workload) == why
