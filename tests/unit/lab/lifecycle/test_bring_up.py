"""`lab.raising`: every failure says where to look and what to do, also one of a library's own."""

from pathlib import Path

from fleet import errors
from fleet.scores.score import Change, Outcome
from lab.errors import LabError
from lab.host.lab_host import Addresses, LabHost
from lab.lifecycle import bring_up
from lab.lifecycle.stages import Done, Stage

HOST = LabHost("x", Path("/x"), Addresses(1))


def done(error: errors.FleetError | None, lane: str = "") -> Done:
    change = Change.FAILED if error else Change.CHANGED
    return Done(Stage.DEVICES, Outcome("machine", change, (), error), 1.0, lane)


def test_what_went_well_is_no_failure():
    assert bring_up.failures([done(None)], HOST) == ()


def test_a_failure_says_its_lane_a_log_and_a_hint():
    (found,) = bring_up.failures([done(LabError("it broke"), "vm-01")], HOST)
    assert (str(found), found.where, found.log) == ("it broke", "vm-01", HOST.logs)
    assert "lab.up" in found.hint


def test_a_failure_keeps_what_it_says_itself():
    (found,) = bring_up.failures([done(LabError("it broke", hint="do", log=Path("/l")))], HOST)
    assert (found.hint, found.log) == ("do", Path("/l"))


def test_what_is_no_error_of_the_lab_becomes_one():
    cause = errors.BusUnavailable("no answer")
    (found,) = bring_up.failures([done(cause)], HOST)
    assert str(found) == "machine: no answer"
    assert found.__cause__ is cause
