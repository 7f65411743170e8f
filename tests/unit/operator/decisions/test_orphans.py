"""Orphans: which may go, and when everything is held."""

from collections.abc import Collection, Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.operator.decisions import orphans
from fleet.operator.decisions.orphans import Fleet, Orphan, Ripe, Suspects, Verdict, Word
from tests.unit.operator.making import pair

MANY = Fleet(deployments=3, desired=100)


def orphan(name: str = "d1", revision: int = 1, *, reclaimable: bool = False) -> Orphan:
    """Make an orphan."""
    return Orphan(pair(name), revision, "gone", reclaimable)


def some(count: int) -> tuple[Orphan, ...]:
    """Make so many orphans."""
    return tuple(orphan(f"d{n:03}", n + 1) for n in range(count))


def look(suspects: Suspects, found: Collection[Orphan], now: float) -> tuple[Orphan, ...]:
    """Look at what one resync found; list what is ripe."""
    suspects.begin(now)
    ripe = tuple(each for each in found if suspects.is_ripe(each))
    suspects.end()
    return ripe


def judge(ripe: Iterable[Orphan], fleet: Fleet, *, said: str = "") -> Verdict:
    """Judge, with an administrator's word."""
    taken = Ripe()
    for each in sorted(ripe):
        taken.add(each)
    verdict = orphans.judge(taken, fleet)
    if said and said == word(verdict.held):
        verdict = orphans.allowed(taken)
    return replace(verdict, removed=tuple(verdict.removed), held=tuple(verdict.held))


def word(named: Iterable[Orphan]) -> str:
    """Name a set."""
    found = Word()
    for each in sorted(named):
        found.add(each)
    return str(found)


found = st.frozensets(
    st.builds(orphan, st.sampled_from(["d1", "d2", "d3"]), st.integers(0, 2)), max_size=4
)
histories = st.lists(st.tuples(found, st.integers(0, 700)), min_size=1, max_size=8)


@given(histories)
def test_an_orphan_is_ripe_once_two_resyncs_that_far_apart_and_all_between_found_it(
    history: list[tuple[frozenset[Orphan], int]],
):
    suspects, now, seen = Suspects(600), 0.0, []
    for orphans_then, later in history:
        now += later
        ripe = look(suspects, orphans_then, now)
        seen.append((now, orphans_then))
        for each in orphans_then:
            unbroken = []
            for at, then in reversed(seen):
                if each not in then:
                    break
                unbroken.append(at)
            long_enough = len(unbroken) > 1 and now - unbroken[-1] >= 600
            assert (each in ripe) is long_enough
        assert set(ripe) <= orphans_then


def test_one_look_is_never_enough_even_without_an_interval():
    suspects = Suspects(0)
    assert look(suspects, some(1), 5) == ()
    assert look(suspects, some(1), 5) == some(1)


def test_another_value_at_the_key_begins_anew():
    suspects = Suspects(600)
    look(suspects, [orphan(revision=1)], 0)
    assert look(suspects, [orphan(revision=2)], 700) == ()


@pytest.mark.parametrize(
    ("desired", "most"), [(0, 5), (10, 5), (50, 5), (59, 5), (60, 6), (1000, 100)]
)
def test_five_or_a_tenth_may_go_at_once(desired: int, most: int):
    assert orphans.limit(desired) == most
    fleet = replace(MANY, desired=desired)
    assert judge(some(most), fleet).removed == some(most)
    beyond = judge(some(most + 1), fleet)
    assert (beyond.removed, beyond.held) == ((), some(most + 1))
    assert str(most) in beyond.why


def test_without_any_deployment_nothing_goes():
    verdict = judge(some(1), replace(MANY, deployments=0))
    assert (verdict.removed, verdict.held) == ((), some(1))


def test_what_was_made_again_is_held_and_does_not_hold_the_others():
    again = orphan("d9", reclaimable=True)
    verdict = judge([*some(5), again], MANY)
    assert (verdict.removed, verdict.held) == (some(5), (again,))


@given(found, st.integers(0, 2), st.integers(0, 100), st.text("0123456789abcdef", max_size=20))
def test_each_is_removed_or_held_and_no_chance_word_frees_it(
    ripe: frozenset[Orphan], deployments: int, desired: int, said: str
):
    fleet = Fleet(deployments, desired)
    verdict = judge(ripe, fleet, said=said)
    assert {*verdict.removed, *verdict.held} == ripe
    assert len(verdict.removed) + len(verdict.held) == len(ripe)
    assert len(verdict.removed) <= orphans.limit(desired)
    assert bool(verdict.why) == bool(verdict.held)


def test_the_word_frees_what_it_names():
    held = judge(some(50), MANY)
    assert judge(some(50), MANY, said=word(held.held)).removed == some(50)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(some(51), id="one more"),
        pytest.param(some(49), id="one less"),
        pytest.param((*some(49), replace(some(50)[-1], revision=99)), id="another value"),
        pytest.param((*some(49), orphan("other", 50)), id="another key"),
    ],
)
def test_a_stale_word_frees_nothing(other: tuple[Orphan, ...]):
    stale = word(judge(some(50), MANY).held)
    assert judge(other, MANY, said=stale).removed == ()
