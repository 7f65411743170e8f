"""What manifests tell by themselves."""

import pytest

from fleet import errors
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


REFUSED = errors.ImmutableField(
    "updates to statefulset spec for fields other than 'replicas', 'template' and"
    " 'updateStrategy' are forbidden",
    element="spec",
)


def test_what_cannot_be_changed_is_told_without_what_can():
    def workload(size, digest, replicas=1):
        claim = {"metadata": {"name": "store"}, "spec": {"storage": size}}
        template = {"metadata": {"annotations": {"digest": digest}}}
        spec = {"replicas": replicas, "template": template, "volumeClaimTemplates": [claim]}
        return {"kind": "StatefulSet", "metadata": {"name": "a"}, "spec": spec}

    live = workload("1Gi", "x")
    live["spec"]["volumeClaimTemplates"][0]["status"] = {"phase": "Pending"}
    assert manifests.unchangeable(live, workload("2Gi", "y", 3), REFUSED) == (
        "StatefulSet a: can't be changed while the object exists:"
        " spec.volumeClaimTemplates[0].spec.storage: 1Gi -> 2Gi; put it back, or delete the object"
        " (its volumes stay, as large as they are), and it is made anew"
    )


def test_what_cannot_be_changed_of_a_secret_is_told_without_its_values():
    live = {"kind": "Secret", "metadata": {"name": "a"}, "data": {"k": "b2xk"}}
    error = errors.ImmutableField("field is immutable when `immutable` is set", element="data")
    told = manifests.unchangeable(live, {**live, "data": {"k": "bmV3"}}, error)
    assert "data.k;" in told
    assert "b2xk" not in told
    assert "bmV3" not in told


def test_a_field_that_cannot_be_found_is_told_as_the_server_names_it():
    live = {"kind": "X", "metadata": {"name": "a"}, "spec": {"hidden": 1}}
    error = errors.ImmutableField("may not change once set", element="spec.hidden")
    assert "exists: spec.hidden; put it back" in manifests.unchangeable(live, live, error)
