"""`lab.status`: the object for a lab that isn't there has every field of one that is."""

from pathlib import Path

import pytest

from fleet.scores.score import Change, Outcome
from lab.errors import LabError
from lab.lifecycle import status
from lab.lifecycle.stages import Done, Stage


def test_no_lab_is_stage_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HARMONY_DATA_DIR", str(tmp_path))

    found = status.status("never-made")

    state = tmp_path / "fleet" / "labs" / "never-made"
    assert found == {
        "name": "never-made",
        "topology": None,
        "stage": "down",
        "problems": [],
        "kubernetes": None,
        "nats": None,
        "registry": None,
        "operator": None,
        "devices": [],
        "paths": {"state": str(state), "logs": str(state / "logs")},
    }
    assert not state.exists()


def test_problems_name_the_part():
    done = (
        Done(Stage.BROKER, Outcome("process nats", Change.CHANGED, ("it is not running",)), 0.1),
        Done(Stage.READY, Outcome("devices", Change.FAILED, (), LabError("no answer")), 0.1),
        Done(Stage.READY, Outcome("demo", Change.UNCHANGED), 0.1),
    )

    assert status.problems(done) == ("process nats: it is not running", "devices: no answer")
