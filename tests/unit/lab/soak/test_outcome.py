"""`lab.soak.outcome` and `lab.soak.report`: a run as figures, as lines, and as evidence."""

from dataclasses import replace

from lab.soak import outcome, report
from lab.soak.outcome import Outcome, Run
from lab.soak.schedule import Fault

GOOD = Outcome(1, Fault.RESET, back=0.5, writes=100, retries=3, slowest=0.2, attempts=2)
BAD = Outcome(2, Fault.FREEZE, -1.0, 10, 9, 60.0, 2, ("lost: all",))
STRAY = "Task exception was never retrieved: OSError()"


def test_a_run_passes_only_where_nothing_was_wrong_at_all():
    assert Run(7, (GOOD,)).passed
    assert not Run(7, (GOOD, BAD)).passed
    assert not Run(7, (GOOD,), (STRAY,)).passed


def test_a_fault_has_its_figure_only_where_it_was_brought_about():
    figures = {each.name: each for each in outcome.figures(Run(7, (GOOD, replace(GOOD, back=1.5))))}
    assert figures["reset (2)"].values == (0.5, 1.5)
    assert not any(name.startswith("server frozen") for name in figures)


def test_what_was_wrong_is_a_figure_with_the_aim_of_none():
    figures = {each.name: each for each in outcome.figures(Run(7, (GOOD, BAD), (STRAY,)))}
    wrong = figures["sessions that failed"]
    strays = figures["stray errors"]
    assert [(each.values, each.aim) for each in (wrong, strays)] == [((1,), 0), ((1,), 0)]


def test_a_failure_is_told_with_each_of_its_problems():
    assert outcome.told(BAD).splitlines() == ["session 2, server frozen: FAILED", "  lost: all"]
    assert outcome.told(GOOD) == "session 1, reset: back after 0.5 s; 100 values put"


def test_evidence_counts_sessions_and_says_how_to_run_them_again():
    run, command = Run(7, (GOOD, BAD), (STRAY,)), "invoke soak.bus --sessions 2 --seed 7"
    found = report.describe(run, command, seconds=12.34, of="abc")
    assert (found["suite"], found["passed"], found["tests"]) == (
        "soak",
        False,
        "1 passed, 1 failed",
    )
    assert (found["commit"], found["command"], found["seconds"]) == ("abc", command, 12.3)
    assert (found["seed"], found["values_put"]) == (7, 110)
    assert found["faults"]["server frozen"] == {"sessions": 1, "passed": 0}
    assert found["problems"] == {"2": ["lost: all"]}
    assert found["strays"] == [STRAY]
    assert found["host"]["cores"] > 0
