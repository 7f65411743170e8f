"""Status: what people read, and when nothing is to be written."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.contracts.names import DeviceId
from fleet.operator.decisions import deployment_status
from fleet.operator.decisions.deployment_status import Situation
from fleet.operator.model.aggregation import Aggregate, Failure
from fleet.operator.model.custom_resources import Refusal
from tests.unit.operator.making import at, deployment

NOW = at(60)
FAILURE = (DeviceId("d7"), Failure("ImageNotFound", "no web:9", at(5)))


def build(
    sums: Aggregate, *, refusal: Refusal | None = None, before: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    return deployment_status.build(
        Situation(deployment(generation=3), sums, 5, refusal), before or {}, NOW
    )


def sums_of(pending: int, running: int, failed: int, unknown: int) -> Aggregate:
    return Aggregate(
        matched=pending + running + failed + unknown,
        pending=pending,
        running=running,
        failed=failed,
        unknown=unknown,
        last_error=FAILURE if failed else None,
    )


def conditions(built: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {condition["type"]: condition for condition in built["conditions"]}


def test_all_running_is_available_and_needs_no_reason():
    built = build(Aggregate(matched=2, running=2))
    found = conditions(built)
    assert (built["ready"], built["reason"], built["observedGeneration"]) == ("2/2", "", 3)
    assert {type_: c["status"] for type_, c in found.items()} == {
        "Accepted": "True",
        "Progressing": "False",
        "Available": "True",
        "Degraded": "False",
    }


@pytest.mark.parametrize(
    ("sums", "ready", "reason", "message"),
    [
        pytest.param(Aggregate(), "0/0", "NoMatch", "matches 0 of 5 devices", id="none matched"),
        pytest.param(
            Aggregate(matched=2, pending=1, running=1),
            "1/2",
            "RollingOut",
            "1 of 2 devices pending",
            id="rolling out",
        ),
        pytest.param(
            Aggregate(matched=2, unknown=1, running=1),
            "1/2",
            "DevicesSilent",
            "1 device not heard",
            id="one silent",
        ),
        pytest.param(
            Aggregate(matched=3, failed=2, pending=1, last_error=FAILURE),
            "0/3",
            "ImageNotFound",
            "2 devices failed, the last was d7: no web:9",
            id="failed",
        ),
    ],
)
def test_what_keeps_it_from_ready_is_named(sums: Aggregate, ready: str, reason: str, message: str):
    built = build(sums)
    assert (built["ready"], built["reason"]) == (ready, reason)
    assert message in {condition["message"] for condition in built["conditions"]}


@given(st.builds(sums_of, *(st.integers(0, 3) for _ in range(4))), st.booleans())
def test_a_roll_out_is_complete_only_when_every_matched_device_runs_what_is_wanted(
    sums: Aggregate, accepted: bool
):
    refusal = None if accepted else Refusal("InvalidSelector", "")
    progressing = conditions(build(sums, refusal=refusal))["Progressing"]
    complete = accepted and 0 < sums.matched == sums.running
    assert (progressing["reason"] == "Complete") is complete
    assert (progressing["status"] == "True") is (accepted and sums.pending > 0)


@pytest.mark.parametrize(
    ("sums", "status", "reason", "message"),
    [
        (Aggregate(), "False", "NoMatch", "matches 0 of 5 devices"),
        (sums_of(1, 2, 1, 1), "True", "RollingOut", "1 of 5 devices pending"),
        (sums_of(0, 2, 1, 1), "False", "DevicesFailed", "1 of 4 devices failed"),
        (sums_of(0, 2, 0, 1), "Unknown", "DevicesSilent", "1 of 3 devices not heard"),
        (sums_of(0, 2, 0, 0), "False", "Complete", ""),
    ],
    ids=["none matched", "pending", "failed", "silent", "running"],
)
def test_progressing_says_what_is_still_to_come(
    sums: Aggregate, status: str, reason: str, message: str
):
    found = conditions(build(sums))["Progressing"]
    assert (found["status"], found["reason"], found["message"]) == (status, reason, message)


def test_a_refused_one_says_why():
    holder = deployment(uid="u9", namespace="prod")
    refused = deployment_status.refusal(deployment(), holder)
    assert refused == Refusal("NameConflict", "the name web is held by prod/web")
    built = build(Aggregate(), refusal=refused)
    assert built["reason"] == "NameConflict"
    assert conditions(built)["Accepted"]["status"] == "False"


def test_the_holder_itself_is_accepted():
    assert deployment_status.refusal(deployment(), deployment()) is None


def test_the_same_situation_builds_the_same_status():
    first = build(Aggregate(matched=1, running=1))
    again = deployment_status.build(
        Situation(deployment(generation=3), Aggregate(matched=1, running=1), 5), first, at(999)
    )
    assert again == first


def test_a_transition_has_its_own_time_and_leaves_the_others_alone():
    first = build(Aggregate(matched=1, running=1))
    after = deployment_status.build(
        Situation(deployment(generation=3), Aggregate(matched=1, pending=1), 5), first, at(999)
    )
    times = {type_: c["lastTransitionTime"] for type_, c in conditions(after).items()}
    moved = {type_ for type_, time in times.items() if time == "2026-01-01T00:16:39Z"}
    assert moved == {"Progressing", "Available"}


def test_the_last_error_and_who_fails_are_shown():
    built = build(
        Aggregate(matched=1, failed=1, last_error=FAILURE, failures=((DeviceId("d7"), FAILURE[1]),))
    )
    assert built["aggregate"]["failing"] == ["d7"]
    assert built["aggregate"]["lastError"] == {
        "deviceId": "d7",
        "reason": "ImageNotFound",
        "message": "no web:9",
        "at": "2026-01-01T00:00:05Z",
    }


def test_a_status_is_spelled_as_the_schema_has_it():
    built = build(sums_of(pending=1, running=2, failed=3, unknown=4))
    assert {name: value for name, value in built.items() if name != "conditions"} == {
        "observedGeneration": 3,
        "ready": "2/10",
        "reason": "ImageNotFound",
        "aggregate": {
            "matched": 10,
            "pending": 1,
            "running": 2,
            "failed": 3,
            "unknown": 4,
            "failing": [],
            "lastError": {
                "deviceId": "d7",
                "reason": "ImageNotFound",
                "message": "no web:9",
                "at": "2026-01-01T00:00:05Z",
            },
        },
    }


@pytest.mark.parametrize(
    ("sums", "said"),
    [
        pytest.param(
            sums_of(pending=0, running=2, failed=0, unknown=0),
            [
                ("Accepted", "True", "Accepted", ""),
                ("Progressing", "False", "Complete", ""),
                ("Available", "True", "AllRunning", "2 of 2 devices running"),
                ("Degraded", "False", "AsExpected", ""),
            ],
            id="all run",
        ),
        pytest.param(
            sums_of(pending=1, running=0, failed=2, unknown=0),
            [
                ("Accepted", "True", "Accepted", ""),
                ("Progressing", "True", "RollingOut", "1 of 3 devices pending"),
                ("Available", "False", "NotAllRunning", "0 of 3 devices running"),
                (
                    "Degraded",
                    "True",
                    "ImageNotFound",
                    "2 devices failed, the last was d7: no web:9",
                ),
            ],
            id="some fail",
        ),
        pytest.param(
            sums_of(pending=0, running=0, failed=0, unknown=1),
            [
                ("Accepted", "True", "Accepted", ""),
                ("Progressing", "Unknown", "DevicesSilent", "1 of 1 device not heard"),
                ("Available", "False", "NotAllRunning", "0 of 1 device running"),
                ("Degraded", "True", "DevicesSilent", "1 device not heard"),
            ],
            id="one is silent",
        ),
    ],
)
def test_conditions_say_it_in_words(sums: Aggregate, said: list[tuple[str, ...]]):
    keys = ("type", "status", "reason", "message")
    assert [tuple(c.get(key, "") for key in keys) for c in build(sums)["conditions"]] == said
