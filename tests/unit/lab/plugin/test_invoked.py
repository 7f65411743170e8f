"""`lab.plugin.invoked`: what a command that failed is told as."""

from pathlib import Path

import pytest

from lab import errors
from lab.plugin import invoked


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
    error = invoked._error("lab.up", 1, said, Path("/lab.log"))

    assert str(error) == f"lab.up ended with 1: {words}"
    assert error.log == Path("/lab.log")
    assert not isinstance(error, errors.PreflightFailed)


def test_a_host_that_cannot_carry_the_lab_is_told_apart():
    assert isinstance(invoked._error("lab.up", 3, "failed: not root"), errors.PreflightFailed)


def test_a_variable_that_would_make_lab_up_only_tell_is_not_handed_on(monkeypatch):
    monkeypatch.setenv("LAB_DRY_RUN", "1")

    assert "LAB_DRY_RUN" not in invoked._environment()
    assert invoked._environment()["NO_COLOR"] == "1"


def test_a_finding_of_the_doctor_comes_with_its_remedy():
    told = {"subject": "bridge", "reason": "no module", "fix": "modprobe bridge"}

    assert invoked._remedied(told) == "bridge: no module (modprobe bridge)"
    assert invoked._remedied({**told, "fix": ""}) == "bridge: no module"
