"""`lab.plugin.session.invoked_lab`: what a command that failed is told as."""

from pathlib import Path

import pytest

from lab import errors
from lab.plugin.session import invoked_lab


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("stage network: ok\nfailed: etcd ended\n  log:  /x\n", "etcd ended\n  log:  /x"),
        ("score of failed: things\nfailed: etcd ended", "etcd ended"),
        ("Traceback\nModuleNotFoundError: invoke", "Traceback\nModuleNotFoundError: invoke"),
        ("\n".join(map(str, range(50))), "\n".join(map(str, range(35, 50)))),
        ("", ""),
    ],
)
def test_a_command_that_failed_is_told_from_where_it_says_why(said: str, words: str):
    error = invoked_lab._error("lab.up", 1, said, Path("/lab.log"))

    assert str(error) == f"lab.up ended with 1: {words}"
    assert error.log == Path("/lab.log")
    assert not isinstance(error, errors.PreflightFailed)


def test_the_words_of_an_earlier_command_in_the_same_log_are_left_out(tmp_path: Path):
    log = tmp_path / "lab.log"
    log.write_text("lab.up: … ✓ … ✓ ready\n", encoding="utf-8")
    before = log.stat().st_size
    with log.open("a", encoding="utf-8") as file:
        file.write("failed: it remains …\n")

    assert invoked_lab._said_since(log, before) == "failed: it remains …\n"


def test_a_host_that_cannot_carry_the_lab_is_told_apart():
    assert isinstance(invoked_lab._error("lab.up", 3, "failed: not root"), errors.PreflightFailed)


def test_a_variable_that_would_make_lab_up_only_tell_is_not_handed_on(monkeypatch):
    monkeypatch.setenv("LAB_DRY_RUN", "1")

    assert "LAB_DRY_RUN" not in invoked_lab._environment()
    assert invoked_lab._environment()["NO_COLOR"] == "1"


def test_a_finding_of_the_doctor_comes_with_its_remedy():
    told = {"subject": "bridge", "reason": "no module", "fix": "modprobe bridge"}

    assert invoked_lab._remedied(told) == "bridge: no module (modprobe bridge)"
    assert invoked_lab._remedied({**told, "fix": ""}) == "bridge: no module"
