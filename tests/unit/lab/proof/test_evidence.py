"""`lab.proof.evidence`: what was proven, of which commit, on which machine."""

import json
from pathlib import Path

import pytest

from lab.proof import evidence
from lab.proof.results import Counts, Result

PASSED = Result("vm-arm64", 0, 61.04, counts=Counts(12, 0, 1, {"vm.test_a": "one device"}))


def test_evidence_names_the_commit_and_the_host(tmp_path: Path):
    written = json.loads(evidence.write(PASSED, tmp_path, of=evidence.commit()).read_text())

    assert written["suite"] == "vm-arm64"
    assert (written["passed"], written["tests"]) == (True, "12 passed, 1 skipped")
    assert written["skipped"] == {"vm.test_a": "one device"}
    assert written["commit"]
    assert written["host"]["cores"] >= 1


def test_a_suite_that_failed_says_so(tmp_path: Path):
    failed = Result("vm-arm64", 1, 3.0, counts=None)

    assert json.loads(evidence.write(failed, tmp_path, of="").read_text())["passed"] is False


def test_the_boots_of_its_machines_come_along(tmp_path: Path):
    booted = {"device": "vm-01", "seconds": {"kernel": 1.2}}

    path = evidence.write(PASSED, tmp_path, of="", booted=[booted])

    assert json.loads(path.read_text())["boots"] == [booted]


def test_the_boots_of_a_lab_are_read_from_its_logs_and_a_suite_without_a_lab_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HARMONY_DATA_DIR", str(tmp_path))
    logs = tmp_path / "fleet" / "labs" / "vm-arm64-full" / "logs"
    logs.mkdir(parents=True)
    (logs / "boots.jsonl").write_text('{"device": "vm-01"}\n{"device": "vm-02"}\n')

    assert evidence.boots("vm-arm64-full") == [{"device": "vm-01"}, {"device": "vm-02"}]
    assert evidence.boots("") == []
