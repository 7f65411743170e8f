"""`lab.console.output`: what is shown is what was said, also where it looks like mark-up."""

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from fleet.scores.score import Change, Outcome
from lab.console import output
from lab.errors import LabError
from lab.host.lab_host import Addresses, LabHost
from lab.lifecycle.stages import Done, Stage


def done(change: Change, *details: str) -> Done:
    return Done(Stage.BROKER, Outcome("NATS", change, details), 1.0)


def test_what_failed_is_shown_with_its_log_and_a_hint(capsys: pytest.CaptureFixture[str], tmp_path):
    output.failure(LabError("[Errno 2] no [/such] file", hint="make it", log=tmp_path / "nats.log"))

    shown = capsys.readouterr().err
    assert "[Errno 2] no [/such] file" in shown
    assert str(tmp_path / "nats.log") in shown
    assert "make it" in shown


def test_only_what_changed_is_shown(capsys: pytest.CaptureFixture[str]):
    progress = output.Progress()
    for each in (done(Change.UNCHANGED), done(Change.CHANGED, "it was [off]")):
        progress.begins(each.stage, each.outcome.score)
        progress.ends(each)

    shown = capsys.readouterr().out.splitlines()
    assert [line for line in shown if "NATS" in line] == [" ✓ broker: NATS  it was [off] (1.0 s)"]


def test_a_holder_is_named_once_however_long_the_wait(capsys: pytest.CaptureFixture[str]):
    progress = output.Progress()
    for _ in range(3):
        progress.waits("waiting for `lab.up` (pid 7)")

    assert capsys.readouterr().out.splitlines() == ["waiting for `lab.up` (pid 7)"]


def test_a_second_time_is_summed_up_as_unchanged(capsys: pytest.CaptureFixture[str]):
    output.summary([done(Change.UNCHANGED)], 0.2)

    assert capsys.readouterr().out.startswith("unchanged: all 1")


def test_a_line_of_a_lane_names_the_lane_where_the_score_does_not(
    capsys: pytest.CaptureFixture[str],
):
    progress = output.Progress()
    for score in ("file agent.toml", "cable dev-02"):
        outcome = Outcome(score, Change.CHANGED, ("missing",))
        progress.ends(Done(Stage.DEVICES, outcome, 0.1, lane="dev-02"))

    shown = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in shown] == [
        " ✓ devices: dev-02: file agent.toml",
        " ✓ devices: cable dev-02",
    ]


def test_an_error_that_befell_one_device_names_it(capsys: pytest.CaptureFixture[str]):
    error = LabError("`ip link add` failed")
    error.where = "dev-02"

    output.failure(error)

    assert capsys.readouterr().err == "failed: dev-02: `ip link add` failed\n"


def status(**told: Any) -> dict[str, Any]:
    lab = {"name": "mine", "topology": "smoke", "stage": "ready", "problems": []}
    parts = {"pids": {}, "server": ""}
    part = {"pid": None, "url": "", "address": "", "health": ""}
    places = {"kubernetes": parts, "nats": part, "registry": part, "operator": part}
    return {**lab, **places, "devices": [], **told}


@pytest.mark.parametrize(
    ("stage", "words"),
    [("ready", "lab mine: ready"), ("operator", "lab mine: up to stage operator, not ready")],
)
def test_a_lab_that_is_half_up_says_so(capsys: pytest.CaptureFixture[str], stage: str, words: str):
    output.tables(status(stage=stage))

    assert capsys.readouterr().out.splitlines()[0] == words


def test_what_a_lab_lacks_first_stands_beside_how_far_it_is(capsys: pytest.CaptureFixture[str]):
    missing = "custom resource definitions: [devices] is missing"
    output.tables(status(stage="network", problems=[missing]))
    output.tables(status(stage="network", problems=[missing, "devices: dev-01 is missing"]))

    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("lab")]
    assert lines[0] == f"lab mine: up to stage network, not ready: {missing}"
    assert lines[1] == f"{lines[0]} (and 1 more, below)"


@pytest.mark.parametrize(
    ("told", "typed"),
    [
        ({"topology": None, "stage": "down"}, ["./dev invoke lab.up --name mine"]),
        ({"problems": ["cable dev-01: it is down"]}, ["./dev invoke lab.up --name mine    # *"]),
        ({"name": "default", "topology": None}, ["./dev invoke lab.up"]),
        ({}, []),
    ],
    ids=["down", "not well", "default", "well"],
)
def test_what_to_type_is_said_where_something_is_to_be_done(
    capsys: pytest.CaptureFixture[str], told: dict[str, Any], typed: list[str]
):
    output.remedy(status(**told))

    shown = [line.strip() for line in capsys.readouterr().out.splitlines() if line[:2] == "  "]
    assert [fnmatch(*each) for each in zip(shown, typed, strict=True)] == [True] * len(typed)


def test_who_pulls_a_cable_is_told_how_to_plug_it_in(capsys: pytest.CaptureFixture[str]):
    output.unplugged("mine", "dev-01")

    assert capsys.readouterr().out.splitlines() == [
        "dev-01 is unplugged", "", "Next:", "  ./dev invoke lab.plug dev-01 --name mine",
    ]  # fmt: skip


@pytest.mark.parametrize(("tier", "seen"), [("edge", 1), ("gateway", 0)])
def test_the_demo_is_a_next_step_where_a_device_would_run_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tier: str, seen: int
):
    found = status(devices=[{"address": "10.0.0.11", "labels": {"tier": tier, "site": "here"}}])
    found["kubernetes"]["kubeconfig"] = "/kubeconfig"

    output.next_steps(LabHost("mine", tmp_path, Addresses(1)), found, {"tier": "edge"})

    shown = capsys.readouterr().out
    steps = ("kubectl apply", "kubectl -n fleet-demo wait", "curl http://10.0.0.11:8080/")
    assert [shown.count(step) for step in steps] == [seen] * 3
    assert "export KUBECONFIG=/kubeconfig" in shown
