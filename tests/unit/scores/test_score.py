"""A score compares, acts on the difference alone, and tells what came of it."""

from dataclasses import dataclass, field

import pytest

from fleet import errors
from fleet.scores.score import Change, Outcome, Score, interpret_all


@dataclass
class Shelf:
    """A topology with one capability: it holds things."""

    things: set[str] = field(default_factory=set)
    visits: list[str] = field(default_factory=list)
    locked: bool = False


@dataclass(frozen=True)
class OnShelf(Score[Shelf]):
    thing: str

    @property
    def name(self) -> str:
        return f"shelf with {self.thing}"

    def differences(self, topology: Shelf) -> tuple[str, ...]:
        topology.visits.append(f"look for {self.thing}")
        return () if self.thing in topology.things else (f"{self.thing} is missing",)

    def bring_about(self, topology: Shelf) -> None:
        if topology.locked:
            raise errors.NotReady("the shelf is locked", element="shelf")
        topology.visits.append(f"put {self.thing}")
        topology.things.add(self.thing)


def test_a_difference_is_brought_about_and_told():
    shelf = Shelf()
    outcome = OnShelf("book").interpret(shelf)
    assert outcome == Outcome("shelf with book", Change.CHANGED, ("book is missing",))
    assert shelf.things == {"book"}


def test_the_second_time_nothing_is_done():
    shelf = Shelf()
    OnShelf("book").interpret(shelf)
    outcome = OnShelf("book").interpret(shelf)
    assert outcome == Outcome("shelf with book", Change.UNCHANGED)
    assert shelf.visits.count("put book") == 1


def test_a_dry_run_tells_and_does_nothing():
    shelf = Shelf()
    outcome = OnShelf("book").interpret(shelf, dry_run=True)
    assert outcome.change is Change.CHANGED
    assert outcome.details == ("book is missing",)
    assert shelf.things == set()


def test_a_failure_comes_back_with_what_was_to_be_changed():
    outcome = OnShelf("book").interpret(Shelf(locked=True))
    assert outcome.change is Change.FAILED
    assert outcome.details == ("book is missing",)
    assert isinstance(outcome.error, errors.NotReady)


def test_scores_after_one_that_failed_are_left_alone():
    shelf = Shelf(locked=True)
    outcomes = interpret_all([OnShelf("book"), OnShelf("lamp")], shelf)
    assert [outcome.change for outcome in outcomes] == [Change.FAILED]
    assert shelf.visits == ["look for book"]


def test_a_dry_run_looks_at_every_score():
    outcomes = interpret_all([OnShelf("book"), OnShelf("lamp")], Shelf(locked=True), dry_run=True)
    assert [outcome.change for outcome in outcomes] == [Change.CHANGED, Change.CHANGED]


def test_expecting_an_outcome_raises_what_it_failed_with():
    failed = OnShelf("book").interpret(Shelf(locked=True))
    with pytest.raises(errors.NotReady) as caught:
        failed.expect()
    assert caught.value is failed.error


def test_expecting_an_outcome_that_did_not_fail_returns_it():
    outcome = OnShelf("book").interpret(Shelf())
    assert outcome.expect() is outcome
