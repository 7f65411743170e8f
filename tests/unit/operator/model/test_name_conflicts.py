"""Conflicts: one holder per name, the same whoever asks and in whatever order."""

from itertools import permutations

from fleet.contracts.names import DeploymentName
from fleet.operator.model import name_conflicts
from tests.unit.operator import making
from tests.unit.operator.making import deployment

OLD = deployment(uid="u3", namespace="b", created=0)
YOUNG = deployment(uid="u2", namespace="a", created=9)
TWIN = deployment(uid="u1", namespace="c", created=9)


def test_the_incumbent_holds_the_name_against_older_ones():
    assert name_conflicts.holder([OLD, YOUNG], {YOUNG.place: 1}) is YOUNG


def test_without_an_incumbent_the_oldest_holds_it():
    assert name_conflicts.holder([YOUNG, OLD], {}) is OLD


def test_of_the_same_age_the_lowest_uid_holds_it():
    assert name_conflicts.holder([YOUNG, TWIN], {}) is TWIN


def test_an_incumbent_that_is_no_resource_any_more_holds_nothing():
    assert name_conflicts.holder([YOUNG, OLD], {("gone", "web"): 5}) is OLD


def test_the_order_of_asking_does_not_matter():
    holders = [name_conflicts.holder(each, {}) for each in permutations([OLD, YOUNG, TWIN])]
    assert all(holder is OLD for holder in holders)


def test_no_candidate_holds_nothing():
    assert name_conflicts.holder([], {("default", "web"): 1}) is None


def test_keys_are_counted_until_the_last_one_of_an_owner_is_gone():
    incumbents = name_conflicts.Incumbents()
    web = DeploymentName("web")
    value = making.put(making.score(uid="u1"))
    assert incumbents.count(web, None, value)
    assert incumbents.count(web, None, value)
    assert not incumbents.count(web, value, value)
    assert dict(incumbents.of(web)) == {("default", "web"): 2}
    assert incumbents.count(web, value, making.marker())
    assert dict(incumbents.of(web)) == {("default", "web"): 1}
    other = making.put(making.score(uid="u2", namespace="other"))
    assert incumbents.count(web, value, other)
    assert dict(incumbents.of(web)) == {("other", "web"): 1}
    assert incumbents.count(web, other, None)
    assert incumbents.of(web) == {}
