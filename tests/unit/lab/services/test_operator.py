"""What the lab takes of the operator's manifests."""

from lab.services import operator
from lab.services.cluster import objects


def test_the_lab_grants_what_the_pod_would_have_and_makes_no_pod():
    manifests = ({"kind": "ServiceAccount"}, {"kind": "Deployment"}, {"kind": "ClusterRole"})
    assert [m["kind"] for m in operator.rights(manifests)] == ["ServiceAccount", "ClusterRole"]


def test_the_manifests_of_this_tree_bring_an_account_with_rights():
    kinds = {m["kind"] for m in operator.rights(objects.load(operator.MANIFESTS))}
    assert kinds >= {"ServiceAccount", "ClusterRole", "ClusterRoleBinding"}
