"""Suites run to their end, whatever becomes of the others."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.proof import running
from lab.proof.results import Result
from lab.proof.suites import Suite
from tests import waiting

ROOT = Path(__file__).parents[4]


def python(name: str, code: str) -> Suite:
    return Suite(name, (sys.executable, "-c", code))


FAILS = python("fails", "import sys; print('why'); sys.exit(3)")
PASSES = python("passes", "print('fine')")


@pytest.fixture(autouse=True)
def _in_a_tree_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)


def test_a_failed_suite_tells_its_status_and_output():
    result = running.run(FAILS)
    assert (result.passed, result.status, result.output) == (False, 3, "why\n")


def test_a_failure_stops_no_other_and_order_is_kept():
    announced: list[Result] = []
    done = running.run_together([FAILS, PASSES], announce=announced.append)
    assert [result.name for result in done] == ["fails", "passes"]
    assert {result.name for result in announced} == {"fails", "passes"}
    assert [result.passed for result in running.run_in_turn([FAILS, PASSES])] == [False, True]


def test_a_report_of_an_earlier_run_counts_for_nothing(tmp_path: Path):
    report = Path("build/junit.xml")
    report.parent.mkdir()
    report.write_text('<testsuite tests="1" failures="0" errors="0" skipped="0"/>')
    assert running.run(Suite("unit", PASSES.command, report)).counts is None


def test_lanes_run_side_by_side_and_each_line_says_whose_it_is(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    waits = "import pathlib, time\nwhile not pathlib.Path({!r}).exists(): time.sleep(0.01)\n"
    meets = "import pathlib\npathlib.Path({!r}).touch()\n" + waits
    first = loud("first", meets.format("a", "b") + "print('one', flush=True)\nprint('two')")
    other = loud("second", meets.format("b", "a"))
    announced: list[str] = []

    done = running.run_in_rounds(
        [((first, loud("third", "raise SystemExit(2)")), (other,))],
        announce=lambda result: announced.append(result.name),
    )

    assert {result.name: result.status for result in done} == {"first": 0, "second": 0, "third": 2}
    assert sorted(announced) == ["first", "second", "third"]
    assert "first  | one\nfirst  | two\n" in capfd.readouterr().out


def test_rounds_take_turns_and_a_failure_ends_none():
    makes = loud("makes", "open('made', 'w')\nraise SystemExit(1)")
    reads = loud("reads", "open('made')")

    done = running.run_in_rounds([((makes,),), ((reads,),)], announce=lambda _: None)

    assert [result.status for result in done] == [1, 0]


def test_a_process_that_a_suite_leaves_behind_holds_nobody_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(running, "_AFTER_END_SECONDS", 0.1)
    stays = "import os, signal\nif pid := os.fork():\n    open('pid', 'w').write(str(pid))"
    leaves = loud("leaves", f"{stays}\nelse:\n    signal.pause()")
    lanes = ((leaves,), (PASSES,))

    try:
        assert all(each.passed for each in running.run_in_rounds([lanes], announce=lambda _: None))
    finally:
        os.kill(int(Path("pid").read_text()), signal.SIGKILL)


def loud(name: str, code: str) -> Suite:
    return Suite(name, (sys.executable, "-c", code), shows_output=True)


TIDIES = """
import pathlib, signal, sys
try:
    pathlib.Path(sys.argv[1]).touch()
    signal.pause()
except KeyboardInterrupt:
    pathlib.Path(sys.argv[1] + "-tidied").touch()
"""
ROUNDS = """
import sys
from lab.proof import running
from lab.proof.suites import Suite

def suite(name):
    return Suite(name, (sys.executable, "-c", sys.argv[1], name), shows_output=True)

lanes = tuple((suite(name), suite("never")) for name in sys.argv[2:])
list(running.run_in_rounds([lanes], announce=print))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("names", [("a",), ("a", "b")], ids=["in turn", "side by side"])
def test_an_interrupt_lets_what_runs_tidy_up_and_nothing_begin(
    names: tuple[str, ...], number: signal.Signals
):
    argv = [sys.executable, "-c", ROUNDS, TIDIES, *names]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(argv, env=environ, start_new_session=True, stderr=subprocess.PIPE) as run:
        for name in names:
            waiting.appears(Path(name), f"{name} has begun")
        # Ctrl-C reaches all that is on the terminal.
        (os.killpg if number is signal.SIGINT else os.kill)(run.pid, number)
        assert run.stderr
        said = run.stderr.read().decode()

    assert "KeyboardInterrupt" in said
    assert run.returncode == -signal.SIGINT
    assert all(Path(f"{name}-tidied").exists() for name in names)
    assert not Path("never").exists()
