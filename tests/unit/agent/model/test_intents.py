"""`intents`: what a desired value means, and what stays in force when it means nothing."""

import pytest

from fleet.agent.model import intents
from fleet.contracts import scores
from fleet.contracts.messages import ReconcileScore
from fleet.contracts.names import DeploymentName
from tests.agent_device import podman_score
from tests.unit.agent.world import workload

WEB = DeploymentName("web")
KNOWN = intents.Apply("r1", (workload("a"),))


def test_services_are_read_with_the_digest_of_what_was_written():
    score = podman_score({"name": "b", "image": "x:1"}, {"name": "a", "image": "x:1"})
    intent = intents.read(WEB, score, None)
    assert isinstance(intent, intents.Apply)
    assert intent.revision == score.revision
    assert [w.service.name for w in intent.workloads] == ["a", "b"]
    digests = scores.service_digests(score.data)
    assert [w.digest for w in intent.workloads] == [digests["a"], digests["b"]]


@pytest.mark.parametrize(
    ("score", "reason", "word"),
    [
        (podman_score({"name": "a", "image": "x", "gpu": True}), "UnsupportedScore", "gpu"),
        (ReconcileScore(type="HelmV9", data={}, revision="r"), "UnsupportedScore", "HelmV9"),
        (podman_score({"name": "A B", "image": "x"}), "InvalidDesiredState", "name"),
        (podman_score({"name": "a"}), "InvalidDesiredState", "image"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_reason(
    score: ReconcileScore, reason: str, word: str
):
    intent = intents.read(WEB, score, KNOWN)
    assert isinstance(intent, intents.Refuse)
    assert (intent.reason, intent.revision, intent.kept) == (reason, score.revision, KNOWN)
    assert word in intent.message


@pytest.mark.parametrize(
    ("previous", "kept"),
    [
        (None, intents.Keep()),
        (KNOWN, KNOWN),
        (intents.Keep(), intents.Keep()),
        (intents.Withdraw(), intents.Keep()),
        (intents.Refuse("r2", "X", "x", KNOWN), KNOWN),
    ],
)
def test_what_was_in_force_stays_so(previous: intents.Intent | None, kept: intents.Intent):
    assert intents.undecodable("no JSON", previous).kept == kept
