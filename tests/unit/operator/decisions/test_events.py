"""Events: what people are told when a status changes, and that the same is told once."""

from collections.abc import Mapping
from typing import Any

import pytest

from fleet.contracts.messages import Problem
from fleet.contracts.names import DeviceId
from fleet.operator.decisions import deployment_status, events, registration
from fleet.operator.decisions.deployment_status import Situation
from fleet.operator.decisions.events import Event, Severity, Subject
from fleet.operator.decisions.finalizers import Verdict
from fleet.operator.model.aggregation import Aggregate, Failure
from fleet.operator.model.custom_resources import Deployment, Device, Refusal
from fleet.operator.model.presence import Hearing
from tests.unit.operator.making import at, deployment, device, info

MISSING = Failure("ImageNotFound", "no such image", at(1))
SICK = Failure("Unhealthy", "", at(2))


def failing(*names: str, of: int = 20, failure: Failure = MISSING) -> Aggregate:
    return Aggregate(
        matched=of,
        failed=len(names),
        running=of - len(names),
        failures=tuple((DeviceId(name), failure) for name in names),
        last_error=(DeviceId(names[-1]), failure) if names else None,
    )


def told(
    sums: Aggregate, before: Mapping[str, Any], of: Deployment | None = None
) -> tuple[dict[str, str], dict[str, Any]]:
    """List the reasons and messages, and the status that they came with."""
    made = of or deployment()
    after = deployment_status.build(Situation(made, sums, 20, made.refusal), before, at(9))
    found = events.of_deployment(made, sums, before, after)
    return {event.reason: event.message for event in found}, after


def test_failures_are_summed_up_by_reason():
    sums = Aggregate(
        matched=20,
        failed=3,
        failures=((DeviceId("d1"), MISSING), (DeviceId("d2"), SICK), (DeviceId("d3"), MISSING)),
    )
    assert events.failures(sums) == (
        "3 of 20 devices failed: ImageNotFound on d1, d3; Unhealthy on d2"
    )


def test_more_failures_than_are_shown_end_in_dots():
    sums = Aggregate(matched=20, failed=12, failures=((DeviceId("d1"), MISSING),))
    assert events.failures(sums) == "12 of 20 devices failed: ImageNotFound on d1, …"


def test_a_failure_is_told_when_it_comes_and_when_more_follow_and_not_again():
    first, before = told(failing("d1"), {})
    assert first == {"DevicesFailed": "1 of 20 devices failed: ImageNotFound on d1"}
    again, before = told(failing("d1"), before)
    assert again == {}
    more, before = told(failing("d1", "d2"), before)
    assert list(more) == ["DevicesFailed"]
    others, before = told(failing("d1", "d3"), before)
    assert list(others) == ["DevicesFailed"]
    fewer, _ = told(failing("d1"), before)
    assert fewer == {}


def test_a_deployment_is_told_to_be_available_each_time_that_it_becomes_so():
    first, before = told(failing(), {})
    assert first == {"Available": "20 of 20 devices running"}
    _, before = told(failing("d1"), before)
    again, before = told(failing(), before)
    assert list(again) == ["Available"]
    assert told(failing(), before)[0] == {}


def test_a_refusal_is_told_once_and_again_when_it_is_another_one():
    refused = deployment()
    conflict = Refusal("NameConflict", "held by default/web")

    def build(before: Mapping[str, Any], refusal: Refusal) -> dict[str, Any]:
        return deployment_status.build(Situation(refused, Aggregate(), 5, refusal), before, at(9))

    first = build({}, conflict)
    assert [e.reason for e in events.of_deployment(refused, Aggregate(), {}, first)] == [
        "NameConflict"
    ]
    assert not list(events.of_deployment(refused, Aggregate(), first, build(first, conflict)))
    other = build(first, Refusal("InvalidSelector", "no such operator"))
    found = list(events.of_deployment(refused, Aggregate(), first, other))
    assert found == [
        Event(
            Subject("Deployment", "web", "u1", "default"),
            Severity.WARNING,
            "InvalidSelector",
            "no such operator",
        )
    ]


def test_who_is_left_behind_is_named():
    names = tuple(f"d{number}" for number in range(12))
    (event,) = events.of_released(deployment(), Verdict(True, names))
    assert event.message.startswith("12 not heard")
    assert "d9, …" in event.message
    assert not list(events.of_released(deployment(), Verdict(True)))


def device_status(
    found: Device, hearing: Hearing = Hearing.HEARD, **told_: Any
) -> dict[str, Any] | None:
    return registration.status_to_apply(info(**told_), found, hearing, heard_at=at(1), now=at(9))


def reasons(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[str]:
    assert after is not None
    return [event.reason for event in events.of_device(device(), before or {}, after)]


def test_silence_is_told_and_its_end_and_neither_twice():
    heard = device_status(device())
    assert reasons({}, heard) == []
    silent = device_status(device(status=heard or {}), Hearing.SILENT)
    assert reasons(heard, silent) == ["Stale"]
    assert reasons(silent, silent) == []
    assert reasons(silent, heard) == ["Heard"]


@pytest.mark.parametrize(
    ("found", "labels", "reason"),
    [
        (
            device(labels={"site": "b"}, foreign_labels={"site": "kubectl-label"}),
            {"site": "a"},
            "LabelConflict",
        ),
        (device(), {"kubernetes.io/hostname": "x"}, "LabelsRefused"),
    ],
)
def test_labels_that_are_not_taken_are_told_once(
    found: Device, labels: dict[str, str], reason: str
):
    after = device_status(found, labels=labels)
    assert reasons({}, after) == [reason]
    assert reasons(after, after) == []


def test_problems_of_a_runtime_are_told_as_they_come_and_when_the_last_is_gone():
    fine = device_status(device())
    problem = Problem(reason="RuntimeUnavailable", message="no socket")
    one = device_status(device(), problems=(problem,))
    two = device_status(
        device(), problems=(Problem(reason="RuntimeUnavailable"), Problem(reason="DiskFull"))
    )
    assert reasons(fine, one) == ["RuntimeUnavailable"]
    assert reasons(one, two) == ["DiskFull"]
    assert reasons(two, one) == []
    assert reasons(one, fine) == ["RuntimeUsable"]


def test_a_problem_of_a_strange_name_is_told_by_one_that_is_none():
    after = device_status(device(), problems=(Problem(reason="rm -rf\n", message="x"),))
    assert reasons({}, after) == ["DeviceProblem"]


def test_reasons_that_devices_invent_are_told_as_one():
    """Each reason is a series of Events, remembered for as long as the operator runs."""
    told = {
        reason
        for n in range(100)
        for reason in reasons(
            {}, device_status(device(), problems=(Problem(reason=f"Invented{n}"),))
        )
    }
    assert told == {"DeviceProblem"}


def test_the_event_of_a_released_deployment_names_what_may_still_run():
    assert events.of_decommissioned(device(), Verdict(True)).severity is Severity.NORMAL
    event = events.of_decommissioned(device(), Verdict(True, ("web", "db")))
    assert event.severity is Severity.WARNING
    assert "web, db" in event.message
    assert event.about == Subject("Device", "d1", "uid-d1")
