"""Twins: two agents of one device, told from one that restarts, however often it does."""

from datetime import timedelta

import pytest

from fleet.contracts.names import DeviceId
from fleet.operator.twins import Twins
from tests.unit.operator.making import at

D1 = DeviceId("d1")
QUIET = timedelta(seconds=60)


def heard(
    instances: str, *, every: float = 5, twins: Twins | None = None, since: float = 0
) -> Twins:
    """Hear one beat of each letter in turn."""
    made = twins or Twins(QUIET)
    for number, instance in enumerate(instances):
        made.hear(D1, instance.strip(), at(since + number * every))
    return made


@pytest.mark.parametrize(
    ("instances", "found"),
    [
        pytest.param("abababab", ("a", "b"), id="taking turns"),
        pytest.param("aababbab", ("a", "b"), id="out of step"),
        pytest.param("abcabcabc", ("a", "b", "c"), id="three of them"),
        pytest.param("aaaaaabbbbbbbbbb", (), id="one restart"),
        pytest.param("aaaababbbbbbbbbbbbbb", (), id="a restart, and old beats that come late"),
        pytest.param("abcdefghijklmnopq", (), id="one that crashes again and again"),
        pytest.param("                 ", None, id="agents that don't name themselves"),
        pytest.param("aaa", None, id="not heard for long"),
        pytest.param("", None, id="never heard"),
    ],
)
def test_only_instances_that_come_back_again_and_again_are_twins(
    instances: str, found: tuple[str, ...] | None
):
    twins = Twins(QUIET)
    told = set()
    for number, instance in enumerate(instances):
        heard(instance, twins=twins, since=5 * number)
        told.add(twins.instances(D1))
    assert twins.instances(D1) == found
    assert found or told <= {None, ()}, "not for a moment"


def test_they_are_forgotten_once_only_one_was_heard_for_a_while():
    twins = heard("abababab")
    heard("a" * 11, twins=twins, since=40)
    assert twins.instances(D1) == ("a", "b")
    heard("aaa", twins=twins, since=95)
    assert twins.instances(D1) == ()


def test_a_beat_that_is_told_late_says_nothing():
    twins = heard("a" * 20)
    for number in range(10):
        twins.hear(D1, "b", at(number))
    assert twins.instances(D1) == ()


def test_the_forgotten_are_not_known():
    twins = heard("abababab")
    twins.forget(D1)
    assert twins.instances(D1) is None
