"""Leases of devices: one holder each, whatever became of the last; who waits is told of whom."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.errors import LabBusy
from lab.plugin.session.leases import Holder, Leases
from lab.system import locks
from tests.waiting import Clock

HOLDER = Holder("gw1", "test_theirs.py::test_it")

# Takes d0 and says so, then waits to be told to end; or ends at once, while a child of it lives on.
HOLDS = """
import subprocess, sys, os
from pathlib import Path
from lab.plugin.session.leases import Holder, Leases
with Leases(Path(sys.argv[1])).hold(["d0"], Holder("gw0", "test_other"), within=0):
    if sys.argv[2] == "forks" and os.fork():
        os._exit(0)
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def leases(tmp_path: Path) -> Leases:
    """The leases of one lab."""
    return Leases(tmp_path / "leases")


def other(leases: Leases, how: str = "waits") -> "subprocess.Popen[str]":
    """Another process that holds d0 by now."""
    argv = (sys.executable, "-c", HOLDS, str(leases.directory), how)
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline()
    return process


def refused(leases: Leases, **more: Any) -> LabBusy:
    """Try to hold d0, and return the refusal."""
    with pytest.raises(LabBusy) as caught, leases.hold(["d0"], HOLDER, **{"within": 0, **more}):
        raise AssertionError
    return caught.value


def test_the_first_device_that_is_free_is_held_and_named(leases: Leases):
    ids = ("d0", "d1")
    with leases.hold(ids, HOLDER, within=0) as first, leases.hold(ids, HOLDER, within=0) as second:
        assert (first, second) == ids
        assert leases.holder("d0").startswith("d0 is held by gw1 (pid ")


def test_a_device_that_was_held_is_free_again_also_after_an_error(leases: Leases):
    with pytest.raises(RuntimeError), leases.hold(["d0"], HOLDER, within=0):
        raise RuntimeError
    with leases.hold(["d0"], HOLDER, within=0) as device:
        assert device == "d0"


def test_a_device_of_another_process_is_not_to_be_had_until_that_ends(leases: Leases):
    with other(leases) as process:
        told = str(refused(leases))
        process.kill()
        process.wait()
        with leases.hold(["d0"], HOLDER, within=0) as device:
            assert device == "d0"
    assert f"d0 is held by gw0 (pid {process.pid}) for test_other, " in told


def test_a_device_is_free_once_its_holder_is_gone_though_a_child_of_it_lives_on(leases: Leases):
    with other(leases, "forks") as process:
        process.wait()
        with leases.hold(["d0"], HOLDER, within=0) as device:
            assert device == "d0"
        assert process.stdin
        process.stdin.close()


def test_one_who_waits_looks_again_and_gives_up_in_time(leases: Leases):
    clock = Clock()
    with leases.hold(["d0"], HOLDER, within=0):
        error = refused(leases, within=5, clock=clock, sleep=clock.sleep)
    assert str(error).startswith("no device became free within 5 s: d0 is held by gw1")
    assert 5 <= clock.now < 6
    assert "fewer workers" in error.hint


def test_one_who_waits_is_given_the_device_that_becomes_free(leases: Leases):
    clock, held = Clock(), leases.hold(["d0"], HOLDER, within=0)
    held.__enter__()

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.now > 3:
            held.__exit__(None, None, None)

    with leases.hold(["d0"], HOLDER, within=5, clock=clock, sleep=sleep) as device:
        assert device == "d0"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '"x"', '{"since": "x"}'])
def test_a_lease_that_says_nothing_is_somebodys(leases: Leases, text: str):
    leases.directory.mkdir()
    locks.file_of(leases.directory / "d0").write_text(text)

    assert leases.holder("d0") == "d0 is held by somebody who hasn't said who"
