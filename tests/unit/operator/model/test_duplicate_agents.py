"""DuplicateAgents: two agents of one device, told from one that restarts, however often it does."""

from datetime import timedelta

import pytest

from fleet.contracts.names import DeviceId
from fleet.operator.model.duplicate_agents import DuplicateAgents
from tests.unit.operator.making import at

D1 = DeviceId("d1")
QUIET = timedelta(seconds=60)


def heard(
    instances: str,
    *,
    every: float = 5,
    duplicate_agents: DuplicateAgents | None = None,
    since: float = 0,
) -> DuplicateAgents:
    """Hear one beat of each letter in turn."""
    made = duplicate_agents or DuplicateAgents(QUIET)
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
    duplicate_agents = DuplicateAgents(QUIET)
    told = set()
    for number, instance in enumerate(instances):
        heard(instance, duplicate_agents=duplicate_agents, since=5 * number)
        told.add(duplicate_agents.instances(D1))
    assert duplicate_agents.instances(D1) == found
    assert found or told <= {None, ()}, "not for a moment"


def test_they_are_forgotten_once_only_one_was_heard_for_a_while():
    duplicate_agents = heard("abababab")
    heard("a" * 11, duplicate_agents=duplicate_agents, since=40)
    assert duplicate_agents.instances(D1) == ("a", "b")
    heard("aaa", duplicate_agents=duplicate_agents, since=95)
    assert duplicate_agents.instances(D1) == ()


def test_returns_long_apart_are_no_twins():
    """A second agent that is tried out for a moment, now and then, and stopped."""
    duplicate_agents = DuplicateAgents(QUIET)
    for visit in range(5):
        heard("aba" + "a" * 15, duplicate_agents=duplicate_agents, since=90 * visit)
        assert not duplicate_agents.instances(D1)


@pytest.mark.parametrize(("instances", "found"), [("ababa", ("a", "b")), ("abab", None)])
def test_the_third_return_tells(instances: str, found: tuple[str, ...] | None):
    assert heard(instances).instances(D1) == found


@pytest.mark.parametrize(("seconds", "found"), [(60, ()), (59, None)])
def test_who_is_heard_for_as_long_as_the_quiet_is_known_to_be_one(
    seconds: float, found: tuple[str, ...] | None
):
    assert heard("aa", every=seconds).instances(D1) == found


def test_of_many_instances_the_latest_are_kept():
    assert heard("abcdabcd", every=2).instances(D1) == ("a", "b", "c", "d")
    assert heard("abcdefabcdefdcdc", every=2).instances(D1) == ("c", "d", "e", "f")
    assert heard("fedcbafedcbacdcd", every=2).instances(D1) == ("a", "b", "c", "d")


def test_to_forget_who_was_never_heard_is_nothing():
    duplicate_agents = heard("a")
    duplicate_agents.forget(DeviceId("other"))
    assert duplicate_agents.instances(DeviceId("other")) is None


def test_a_beat_that_is_told_late_says_nothing():
    duplicate_agents = heard("a" * 20)
    for number in range(10):
        duplicate_agents.hear(D1, "b", at(number))
    assert duplicate_agents.instances(D1) == ()


def test_the_forgotten_are_not_known():
    duplicate_agents = heard("abababab")
    duplicate_agents.forget(D1)
    assert duplicate_agents.instances(D1) is None
