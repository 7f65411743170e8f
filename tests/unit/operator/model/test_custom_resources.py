"""Objects: custom resources read from JSON, with what can't be used named."""

import re
from typing import Any

import pytest

from fleet import errors
from fleet.contracts import bounds, scores
from fleet.contracts.messages import DESIRED_STATE
from fleet.operator.model import custom_resources
from tests.unit.operator.making import at, data, deployment_body


def test_a_deployment_is_read_with_its_score_and_owner():
    found = custom_resources.parse_deployment(deployment_body(generation=4, version=9))
    assert found.score is not None
    assert found.score.revision == scores.revision("PodmanV0", data())
    assert found.score.owner is not None
    assert (found.score.owner.uid, found.score.owner.generation) == ("u1", 4)
    assert (found.refusal, found.deleting_since, found.version) == (None, None, 9)


def test_a_deletion_is_read():
    assert custom_resources.parse_deployment(deployment_body(deleted=7)).deleting_since == at(7)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"score": {"type": "Unheard", "data": {}}}, "UnsupportedScore"),
        ({"score": {"type": "PodmanV0", "data": {"services": []}}}, "InvalidDesiredState"),
        ({"score": {"type": "PodmanV0", "data": {"surprise": 1}}}, "UnsupportedScore"),
        (
            {"targetSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}},
            "InvalidSelector",
        ),
        ({"score": None}, "UnsupportedScore"),
    ],
)
def test_a_spec_that_cannot_be_used_is_refused_with_the_reason(spec: dict[str, Any], reason: str):
    body = deployment_body()
    body["spec"].update(spec)
    found = custom_resources.parse_deployment(body)
    assert found.score is None
    assert found.refusal is not None
    assert found.refusal.reason == reason


def test_files_of_too_many_bytes_are_refused_where_the_api_server_counts_characters():
    body = deployment_body()
    services = body["spec"]["score"]["data"]["services"]
    services[0]["files"] = [{"path": "/f", "content": "é" * 32_769}]
    found = custom_resources.parse_deployment(body)
    assert found.score is None
    assert found.refusal is not None
    assert "files: 65538 bytes in all; at most 65536" in found.refusal.message


def test_a_score_that_no_bucket_takes_is_refused_and_told_how_large_it_may_be():
    """Accepted, it would roll out for ever: nothing could ever be published."""
    body = deployment_body()
    services = body["spec"]["score"]["data"]["services"]
    services[0]["args"] = ["x" * 4096] * 64
    found = custom_resources.parse_deployment(body)
    assert found.score is None
    assert found.refusal is not None
    assert found.refusal.reason == "ValueTooLarge"
    assert re.search(r"the score has 262\d{3} bytes .* at most 261120 are", found.refusal.message)
    services[0]["args"] = ["x" * 4096] * 63
    assert custom_resources.parse_deployment(body).refusal is None


@pytest.mark.parametrize(("surplus", "is_taken"), [(0, True), (1, False)], ids=["all", "more"])
def test_a_score_may_be_as_large_as_a_bucket_takes_and_no_byte_larger(surplus: int, is_taken: bool):
    body = deployment_body()
    service = body["spec"]["score"]["data"]["services"][0]
    service["args"] = ["x" * 4096] * 63 + [""]
    bare = custom_resources.parse_deployment(body).score
    assert bare is not None
    room = bounds.max_value_bytes(DESIRED_STATE.bucket) - len(DESIRED_STATE.encode(bare))
    service["args"][-1] = "x" * (room + surplus)
    found = custom_resources.parse_deployment(body)
    assert (found.refusal is None) is is_taken


def test_a_selector_that_no_device_can_meet_is_refused():
    body = deployment_body()
    expression = {"key": "si te", "operator": "DoesNotExist"}
    body["spec"]["targetSelector"] = {"matchExpressions": [expression]}
    found = custom_resources.parse_deployment(body)
    assert found.refusal is not None
    assert found.refusal.reason == "InvalidSelector"
    assert not found.selector.matches({"site": "a"})


def test_a_refused_deployment_may_want_any_device_until_it_is_deleted():
    body = deployment_body()
    body["spec"]["score"] = {"type": "Unheard"}
    assert custom_resources.parse_deployment(body).may_want({})
    body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not custom_resources.parse_deployment(body).may_want({})


def test_a_name_that_can_be_no_key_is_not_read():
    with pytest.raises(errors.InvalidName):
        custom_resources.parse_deployment(deployment_body("web.prod"))


def managed(manager: str, *keys: str) -> dict[str, Any]:
    labels: dict[str, Any] = {f"f:{key}": {} for key in keys}
    return {"manager": manager, "fieldsV1": {"f:metadata": {"f:labels": {".": {}, **labels}}}}


def test_a_device_knows_whose_labels_are_whose():
    found = custom_resources.parse_device(
        {
            "metadata": {
                "name": "d1",
                "uid": "x",
                "labels": {"site": "a", "zone": "b"},
                "managedFields": [
                    managed(custom_resources.FIELD_MANAGER, "site", "gone"),
                    managed("kubectl", "zone"),
                    {
                        "manager": custom_resources.FIELD_MANAGER,
                        "subresource": "status",
                        "fieldsV1": {},
                    },
                ],
            }
        }
    )
    assert found.own_labels == {"site": "a"}
    assert found.foreign_labels == {"zone": "kubectl"}


def test_a_label_that_two_managers_set_names_both():
    owners = [managed("kubectl-edit", "zone"), managed("argocd", "zone")]
    meta = {"name": "d1", "uid": "x", "labels": {"zone": "b"}, "managedFields": owners}
    found = custom_resources.parse_device({"metadata": meta})
    assert found.foreign_labels == {"zone": "argocd and kubectl-edit"}


def test_a_bare_device_is_one():
    found = custom_resources.parse_device({"metadata": {"name": "d1", "uid": "x"}})
    assert (found.labels, found.status, found.version) == ({}, {}, 0)
