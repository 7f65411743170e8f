"""Publishing: every row of the table, and the laws that keep absence from being an instruction."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.bus.port import Deleted, Entry, Put
from fleet.contracts.messages import ReconcileScore
from fleet.operator.decisions import publishing
from fleet.operator.decisions.publishing import Action, Leave, Mark, Purge, PutValue
from fleet.operator.model.facts import Facts
from tests.unit.operator.making import garbage, marker, put, score

WANTED = score("web:2", generation=2)

entries = st.one_of(
    st.none(),
    st.builds(marker, st.integers(1, 9)),
    st.builds(garbage, st.integers(1, 9)),
    st.builds(
        put,
        st.builds(
            score,
            st.sampled_from(["web:1", "web:2"]),
            uid=st.sampled_from(["u1", "u2"]),
            generation=st.integers(1, 3),
        ),
        st.integers(1, 9),
    ),
)
facts = st.builds(
    Facts,
    wanted=st.sampled_from([None, WANTED]),
    entry=entries,
    has_state=st.booleans(),
    ended=st.booleans(),
    unclaimed=st.booleans(),
    removable=st.booleans(),
    remade=st.booleans(),
)


@pytest.mark.parametrize(
    ("entry", "action"),
    [
        pytest.param(None, PutValue(WANTED, last=0), id="nothing"),
        pytest.param(put(WANTED, 7), None, id="what is wanted"),
        pytest.param(put(score("web:1"), 7), PutValue(WANTED, last=7), id="older content"),
        pytest.param(put(score("web:2", generation=1), 7), None, id="same content, older spec"),
        pytest.param(put(score("web:3", generation=3), 7), None, id="a higher generation"),
        pytest.param(
            put(score("web:2", uid="u0", generation=9), 7), PutValue(WANTED, last=7), id="adopted"
        ),
        pytest.param(marker(7), PutValue(WANTED, last=7), id="a marker"),
        pytest.param(garbage(7), PutValue(WANTED, last=7), id="garbage"),
    ],
)
def test_what_is_wanted_is_put_where_it_does_not_stand(
    entry: Entry[ReconcileScore] | None, action: Action | None
):
    assert publishing.decide(Facts(wanted=WANTED, entry=entry, has_state=True)) == action


@pytest.mark.parametrize(
    ("facts", "action"),
    [
        pytest.param(Facts(), None, id="nothing"),
        pytest.param(Facts(has_state=True), None, id="a state, who knows whose"),
        pytest.param(Facts(has_state=True, unclaimed=True), Leave(0), id="a forgotten state"),
        pytest.param(
            Facts(has_state=True, unclaimed=True, removable=True), Mark(0), id="a removable state"
        ),
        pytest.param(Facts(unclaimed=True, removable=True), None, id="no state, no claim"),
        pytest.param(Facts(entry=put(WANTED, 7), ended=True), Mark(last=7), id="ended"),
        pytest.param(Facts(entry=put(WANTED, 7)), None, id="its owner may want it again"),
        pytest.param(Facts(entry=put(WANTED, 7), removable=True), None, id="adopted meanwhile"),
        pytest.param(
            Facts(entry=put(WANTED, 7), unclaimed=True), Leave(7, "u1"), id="owner not known"
        ),
        pytest.param(
            Facts(entry=put(WANTED, 7), unclaimed=True, remade=True),
            Leave(7, "u1", remade=True),
            id="owner made again",
        ),
        pytest.param(
            Facts(entry=put(WANTED, 7), unclaimed=True, removable=True), Mark(7), id="removable"
        ),
        pytest.param(Facts(entry=garbage(7), unclaimed=True), Leave(7), id="garbage"),
        pytest.param(
            Facts(entry=garbage(7), unclaimed=True, removable=True), Mark(7), id="removable garbage"
        ),
        pytest.param(Facts(entry=garbage(7)), None, id="garbage that somebody may replace"),
        pytest.param(Facts(entry=garbage(7), ended=True), Mark(last=7), id="garbage, leaving"),
        pytest.param(Facts(has_state=True, ended=True), Mark(last=0), id="a state, leaving"),
        pytest.param(Facts(entry=marker(7), has_state=True), None, id="marker, still running"),
        pytest.param(Facts(entry=marker(7)), Purge(last=7), id="marker, all gone"),
        pytest.param(Facts(entry=marker(7), unread=True), None, id="marker, who read it?"),
    ],
)
def test_what_is_not_wanted_is_withdrawn_only_upon_evidence(facts: Facts, action: Action | None):
    assert publishing.decide(facts) == action


@given(facts)
def test_nothing_is_marked_without_positive_evidence(found: Facts):
    if isinstance(publishing.decide(found), Mark):
        assert found.wanted is None
        assert found.ended or (found.unclaimed and found.removable)


@given(facts)
def test_an_orphan_is_one_whether_condemned_or_not(found: Facts):
    action, orphan = publishing.decide(found), publishing.orphan(found)
    if isinstance(action, Leave):
        assert action == orphan
    if orphan is not None:
        assert found.unclaimed
        assert isinstance(action, Mark if found.removable else Leave)


@given(facts)
def test_no_marker_goes_while_a_state_stands(found: Facts):
    if isinstance(publishing.decide(found), Purge):
        assert isinstance(found.entry, Deleted)
        assert not found.has_state


@given(facts)
def test_every_write_names_the_revision_that_it_replaces(found: Facts):
    action = publishing.decide(found)
    if isinstance(action, PutValue | Mark):
        assert action.last == (found.entry.revision if found.entry else 0)


@given(facts)
def test_a_higher_generation_of_the_same_owner_is_never_replaced(found: Facts):
    if isinstance(publishing.decide(found), PutValue) and isinstance(found.entry, Put):
        before, after = found.entry.value.owner, WANTED.owner
        assert before is not None
        assert after is not None
        assert before.uid != after.uid or before.generation <= after.generation


@given(facts)
def test_acting_once_is_enough(found: Facts):
    action = publishing.decide(found)
    again = publishing.decide(after(found, action))
    assert again is None or isinstance(again, Leave | Purge)


def after(found: Facts, action: Action | None) -> Facts:
    """Do to the facts what the action does to the key."""
    match action:
        case PutValue(value, last):
            entry: Entry[ReconcileScore] | None = put(value, last + 1)
        case Mark(last):
            entry = marker(last + 1)
        case Purge():
            entry = None
        case _:
            entry = found.entry
    return replace(found, entry=entry)
