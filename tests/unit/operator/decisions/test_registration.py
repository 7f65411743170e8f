"""Registration: the labels and the status of a `Device` object, and when nothing is written."""

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.contracts.messages import DeviceInfo, Inventory, Problem
from fleet.operator.decisions import registration
from fleet.operator.model.custom_resources import Device
from fleet.operator.model.presence import Hearing
from tests.unit.operator.making import at, device, info

NOW = at(100)


def status_of(
    found: Device, told: DeviceInfo | None, hearing: Hearing = Hearing.HEARD
) -> dict[str, object] | None:
    return registration.status_to_apply(told, found, hearing, heard_at=at(99), now=NOW)


def with_status(status: dict[str, object] | None) -> Device:
    return device(status=status or {})


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("site", "a", True),
        ("example.com/site", "a", True),
        ("site", "", True),
        ("A_b.c-d", "A_b.c-d", True),
        ("nationtech.io/site", "a", False),
        ("fleet.nationtech.io/site", "a", False),
        ("kubernetes.io/hostname", "a", False),
        ("node-role.kubernetes.io/master", "", False),
        ("notkubernetes.io/x", "a", True),
        ("-site", "a", False),
        ("site ", "a", False),
        ("site\n", "a", False),
        ("", "a", False),
        ("/site", "a", False),
        ("Example.com/site", "a", False),
        ("a/b/c", "a", False),
        ("x" * 63, "x" * 63, True),
        ("x" * 64, "a", False),
        ("site", "x" * 64, False),
        ("site", "not a value", False),
        ("site", "a\n", False),
    ],
)
def test_labels_are_those_of_kubernetes_outside_reserved_domains(
    key: str, value: str, allowed: bool
):
    labels = registration.sort_labels({key: value})
    assert (key in labels.allowed) is allowed
    assert bool(labels.refused) is not allowed


@given(st.dictionaries(st.text(string.printable, max_size=8), st.text(max_size=8)))
def test_each_label_is_either_allowed_or_named(labels: dict[str, str]):
    sorted_out = registration.sort_labels(labels)
    assert len(sorted_out.allowed) + len(sorted_out.refused) == len(labels)


def test_a_new_device_gets_its_labels():
    assert registration.labels_to_apply(info(labels={"site": "a"}), None) == {"site": "a"}


def test_labels_that_stand_are_not_applied_again():
    found = device(labels={"site": "a", "other": "x"}, own_labels={"site": "a"})
    assert registration.labels_to_apply(info(labels={"site": "a"}), found) is None


def test_a_label_that_the_device_no_longer_tells_is_withdrawn():
    found = device(own_labels={"site": "a", "old": "x"})
    assert registration.labels_to_apply(info(labels={"site": "a"}), found) == {"site": "a"}


def test_a_label_that_somebody_else_set_is_left_to_them():
    found = device(
        labels={"site": "b"}, own_labels={"site": "b"}, foreign_labels={"site": "kubectl-label"}
    )
    assert registration.labels_to_apply(info(labels={"site": "a"}), found) == {}
    status = status_of(found, info(labels={"site": "a"}))
    assert status is not None
    (message,) = messages(status, "LabelConflict")
    assert message == (
        "site=b is set by kubectl-label, the device says 'a'; what the device says stands after:"
        " kubectl label fleetdev d1 site-"
    )


def test_missing_info_changes_no_label():
    assert registration.labels_to_apply(None, device(own_labels={"site": "a"})) is None


def test_an_object_that_somebody_else_made_gets_the_finalizer_and_keeps_its_labels():
    found = device(labels={"zone": "x"}, foreign_labels={"zone": "kubectl"}, has_finalizer=False)
    assert registration.labels_to_apply(None, found) == {}
    told = info(labels={"site": "a", "zone": "y"})
    assert registration.labels_to_apply(told, found) == {"site": "a"}


def test_a_device_that_is_leaving_is_left_alone():
    found = device(deleting_since=at(0), has_finalizer=False)
    assert registration.labels_to_apply(info(labels={"site": "b"}), found) is None


def test_missing_info_keeps_what_was_told_before():
    first = status_of(device(), info(agent_version="1"))
    assert first is not None
    second = status_of(with_status(first), None, Hearing.SILENT)
    assert second is not None
    assert second["agentVersion"] == "1"
    assert second["inventory"] == first["inventory"]


def test_a_status_that_stands_is_not_written_again():
    first = status_of(device(), info())
    assert first is not None
    assert first["lastHeartbeat"] == "2026-01-01T00:01:39Z"
    again = registration.status_to_apply(
        info(), with_status(first), Hearing.HEARD, heard_at=at(500), now=at(501)
    )
    assert again is None


@pytest.mark.parametrize("hearing", [Hearing.HEARD, Hearing.SILENT])
def test_a_restart_says_nothing_new_of_a_device_that_is_awaited(hearing: Hearing):
    first = status_of(device(), info(), hearing)
    assert status_of(with_status(first), info(), Hearing.AWAITED) is None


FOREIGN = {"type": "DiskHealthy", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}


def test_conditions_of_others_are_no_reason_to_write():
    first = status_of(device(), info(), Hearing.HEARD)
    assert first is not None
    own: list[dict[str, object]] = first["conditions"]  # type: ignore[assignment]
    for conditions in ([FOREIGN, *own], [*reversed(own), FOREIGN]):
        found = with_status({**first, "conditions": conditions})
        assert status_of(found, info(), Hearing.HEARD) is None


def test_what_others_add_to_a_condition_of_ours_is_no_reason_to_write():
    first = status_of(device(), info())
    assert first is not None
    own: list[dict[str, object]] = first["conditions"]  # type: ignore[assignment]
    found = with_status({**first, "conditions": [{**c, "observedGeneration": 3} for c in own]})
    assert status_of(found, info()) is None


def test_conditions_of_others_are_not_written_with_ours():
    found = with_status({"conditions": [FOREIGN]})
    status = status_of(found, info())
    assert status is not None
    assert "DiskHealthy" not in str(status["conditions"])


def test_a_condition_of_ours_that_holds_no_longer_is_taken_back_beside_those_of_others():
    refused = status_of(device(), info(labels={"kubernetes.io/x": "y"}))
    assert refused is not None
    assert "LabelsRefused" in str(refused["conditions"])
    conditions: list[object] = refused["conditions"]  # type: ignore[assignment]
    after = status_of(with_status({**refused, "conditions": [*conditions, FOREIGN]}), info())
    assert after is not None
    assert "LabelsRefused" not in str(after["conditions"])


def summary(status: dict[str, object] | None) -> dict[str, str]:
    assert status is not None
    return status["summary"]  # type: ignore[return-value]


def test_the_columns_say_in_short_what_the_device_is_and_does():
    told = info(
        inventory=Inventory(runtimes={"podman": "5.4.2", "crun": "1.21"}),
        problems=(Problem(reason="DiskFull"), Problem(reason="X"), Problem(reason="DiskFull")),
    )
    found = device(labels={"site": "a", "example.org/role": "", "arch": "arm64"})
    status = registration.status_to_apply(
        told, found, Hearing.HEARD, heard_at=at(99), now=NOW, deployments="2/3"
    )
    assert summary(status) == {
        "deployments": "2/3",
        "labels": "arch=arm64,example.org/role=,site=a",
        "lastHeard": "now",
        "runtimes": "crun=1.21,podman=5.4.2",
        "problems": "DiskFull,X",
    }


def test_what_no_column_can_hold_is_cut():
    labels = {f"k{number}": "v" * 63 for number in range(99)}
    told = info(problems=tuple(Problem(reason=str(n) * 99) for n in range(9)))
    shown = summary(status_of(device(labels=labels), told))
    assert [len(shown[name]) for name in ("labels", "problems")] == [256, 256]
    assert shown["labels"].endswith("...")


def test_when_a_silent_device_was_heard_last_is_said_and_kept():
    heard = status_of(device(), info(), Hearing.HEARD)
    silent = status_of(with_status(heard), info(), Hearing.SILENT)
    assert summary(silent)["lastHeard"] == "2026-01-01T00:01:39Z"
    again = registration.status_to_apply(
        info(), with_status(silent), Hearing.SILENT, heard_at=None, now=at(999)
    )
    assert again is None  # as after a restart


def test_missing_info_keeps_the_columns():
    told = info(inventory=Inventory(runtimes={"podman": "5"}), problems=(Problem(reason="X"),))
    first = status_of(device(), told)
    kept = summary(status_of(with_status(first), None, Hearing.SILENT))
    assert (kept["runtimes"], kept["problems"]) == ("podman=5", "X")


@pytest.mark.parametrize(
    ("hearing", "ready", "stale"),
    [(Hearing.AWAITED, "Unknown", "Unknown"), (Hearing.SILENT, "False", "True")],
)
def test_a_device_that_never_told_anything_has_a_status_all_the_same(
    hearing: Hearing, ready: str, stale: str
):
    status = registration.status_to_apply(None, device(labels={}), hearing, heard_at=None, now=NOW)
    assert set(summary(status).values()) == {""}
    assert status is not None
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "Ready": ready,
        "Stale": stale,
    }
    assert status.keys() == {"summary", "conditions"}


def test_only_another_count_is_a_reason_to_write():
    first = status_of(device(), info())
    assert summary(first)["deployments"] == ""
    again = registration.status_to_apply(
        info(), with_status(first), Hearing.HEARD, heard_at=at(99), now=NOW, deployments="0/1"
    )
    assert summary(again)["deployments"] == "0/1"


@pytest.mark.parametrize(
    ("hearing", "problems", "ready", "stale"),
    [
        (Hearing.HEARD, (), "True", "False"),
        (Hearing.SILENT, (), "False", "True"),
        (Hearing.AWAITED, (), "Unknown", "Unknown"),
        (Hearing.HEARD, (Problem(reason="PodmanMissing"),), "False", "False"),
        (Hearing.SILENT, (Problem(reason="PodmanMissing"),), "False", "True"),
    ],
)
def test_ready_means_heard_and_usable(
    hearing: Hearing, problems: tuple[Problem, ...], ready: str, stale: str
):
    status = status_of(device(), info(problems=problems), hearing)
    assert status is not None
    conditions = {c["type"]: c for c in status["conditions"]}  # type: ignore[attr-defined]
    assert (conditions["Ready"]["status"], conditions["Stale"]["status"]) == (ready, stale)
    assert registration.is_stale(with_status(status)) is (stale == "True")
    if hearing is Hearing.HEARD and problems:
        assert conditions["Ready"]["reason"] == "PodmanMissing"


def messages(status: dict[str, Any], type_: str) -> list[str]:
    """Read the message of each condition of *type_*."""
    return [c["message"] for c in status["conditions"] if c["type"] == type_]


def duplicate(status: dict[str, object] | None) -> str:
    """Read the message of the condition, if it is there."""
    assert status is not None
    found: list[dict[str, str]] = status["conditions"]  # type: ignore[assignment]
    return next((c["message"] for c in found if c["type"] == "DuplicateAgent"), "")


def with_twins(found: Device, duplicate_agents: tuple[str, ...] | None) -> dict[str, object] | None:
    return registration.status_to_apply(
        info(), found, Hearing.HEARD, duplicate_agents=duplicate_agents, heard_at=at(99), now=NOW
    )


def test_two_agents_of_one_name_are_named_until_only_one_is_left():
    told = with_twins(device(), ("aaa", "bbb"))
    assert "aaa and bbb" in duplicate(told)
    assert with_twins(with_status(told), ("aaa", "bbb")) is None
    assert with_twins(with_status(told), None) is None  # a restart knows nothing yet
    assert duplicate(with_twins(with_status(told), ())) == ""


def test_an_agents_own_word_of_a_twin_is_taken_and_harms_no_runtime():
    problem = Problem(reason="DuplicateAgent", message="another agent calls itself d1 too")
    status = status_of(device(), info(problems=(problem,)))
    assert duplicate(status) == problem.message
    assert "'type': 'Ready', 'status': 'True'" in str(status)


@pytest.mark.parametrize("reason", ["JournalUnavailable", "DamagedJournal"])
def test_a_device_whose_journal_is_in_trouble_does_its_work(reason: str):
    status = status_of(device(), info(problems=(Problem(reason=reason, message="disk full"),)))
    assert "'type': 'Ready', 'status': 'True'" in str(status)


def test_endless_texts_are_cut():
    status = status_of(device(), info(problems=(Problem(reason="X", message="y" * 9999),) * 99))
    assert status is not None
    assert len(str(status["problems"])) < 20_000


def test_a_status_is_spelled_as_the_schema_has_it():
    told = info(
        inventory=Inventory(arch="arm64", memory_bytes=7, disk_bytes=9),
        problems=(Problem(reason="DiskFull", message="no room"),),
    )
    status = status_of(device(), told)
    assert status is not None
    assert status["inventory"]["diskBytes"] == 9  # type: ignore[index]
    assert status["inventory"]["memoryBytes"] == 7  # type: ignore[index]
    assert status["problems"] == [{"reason": "DiskFull", "message": "no room"}]


@pytest.mark.parametrize(
    ("hearing", "said"),
    [
        (Hearing.HEARD, [("Ready", "True", "Heard"), ("Stale", "False", "Heard")]),
        (Hearing.SILENT, [("Ready", "False", "Silent"), ("Stale", "True", "Silent")]),
        (Hearing.AWAITED, [("Ready", "Unknown", "Awaited"), ("Stale", "Unknown", "Awaited")]),
    ],
)
def test_conditions_say_whether_it_is_heard(hearing: Hearing, said: list[tuple[str, ...]]):
    status = status_of(device(), info(), hearing)
    assert status is not None
    found: list[dict[str, str]] = status["conditions"]  # type: ignore[assignment]
    assert [(c["type"], c["status"], c["reason"]) for c in found] == said
