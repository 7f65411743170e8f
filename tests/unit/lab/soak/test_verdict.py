"""`lab.soak.judgement.verdict`: each way in which something isn't where it was put is told."""

import re

import pytest

from lab.soak.judgement import verdict
from lab.soak.judgement.verdict import Written

KEY = "pi-01.web"
ACCEPTED = {KEY: Written(7, revision=20), "pi-01.old": Written(None, revision=21)}


def test_nothing_is_wrong_where_each_key_holds_its_last_write():
    assert verdict.problems(ACCEPTED, dict(ACCEPTED)) == ()
    assert verdict.problems({}, {}) == ()


@pytest.mark.parametrize(
    ("found", "says"),
    [
        pytest.param(None, "lost: .* holds nothing; number 7 .* was accepted", id="nothing there"),
        pytest.param(Written(6, 12), r"lost: .* holds number 6 \(revision 12\)", id="an older one"),
        pytest.param(Written(6, 30), "overwritten: .* holds number 6", id="an older one, put late"),
        pytest.param(Written(None, 30), "overwritten: .* holds a marker", id="a marker, put late"),
    ],
)
def test_a_key_that_holds_another_write_is_named(found: Written | None, says: str):
    there = {key: write for key, write in {**ACCEPTED, KEY: found}.items() if write}
    (problem,) = verdict.problems(ACCEPTED, there)
    assert re.match(says, problem)


def test_a_write_that_was_tried_again_may_stand_there_twice():
    assert verdict.problems(ACCEPTED, {**ACCEPTED, KEY: Written(7, 30)}) == ()


def test_a_key_of_which_nothing_was_accepted_is_named():
    found = {**ACCEPTED, "pi-01.what": Written(9, 40)}
    assert verdict.problems(ACCEPTED, found) == (
        "unasked: pi-01.what holds number 9 (revision 40); nothing was accepted",
    )


def test_of_many_alike_only_some_are_named():
    accepted = {f"pi-01.d{n}": Written(n, n) for n in range(100)}
    problems = verdict.problems(accepted, {})
    assert len(problems) == verdict.SHOWN + 1
    assert problems[-1] == "and 95 more like these"


def test_a_view_differs_by_what_it_lacks_what_it_kept_and_what_is_old():
    found = {"a": Written(1, 1), "b": Written(2, 2), "gone": Written(None, 3)}
    assert verdict.differences({"a": 1, "b": 2}, found) == ()
    assert verdict.differences({"b": 1, "gone": 3}, found) == (
        "a: the view has None, the bucket 1",
        "b: the view has 1, the bucket 2",
        "gone: the view has 3, the bucket None",
    )
