"""`retries` and `backoff`: who has to wait after a failure, and for how long."""

from typing import Any

import pytest

from fleet import errors
from fleet.agent.deployments.restart_backoff import SETTLED_SECONDS, RestartBackoff
from fleet.agent.model.backoff import RETRYABLE, Backoff
from fleet.agent.runtimes.port import Container, Status
from fleet.contracts.scores import RestartPolicy
from tests.unit.agent.world import container

HALF = 0.5  # the middle of the jitter


def half() -> float:
    return HALF


@pytest.fixture
def attempts() -> RestartBackoff:
    """Records of one service, `a`."""
    made = RestartBackoff(half)
    made.expect({"a": "d1"})
    return made


def death(number: int, *, ran_for: int = 0, **more: Any) -> Container:
    """The n-th death of a container."""
    started = 1000 + 100 * number
    more |= {"started": started, "finished": started + ran_for}
    return container("a", status=Status.EXITED, exit_code=1, **more)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0), (1, 1), (2, 2), (3, 4), (7, 60), (10_000, 60)]
)
def test_delays_double_up_to_a_longest(failures: int, seconds: float):
    assert Backoff(first=1, longest=60).delay(failures, half) == pytest.approx(seconds)


def test_jitter_spreads_a_delay_around_its_middle():
    spread = [RETRYABLE.delay(1, iter([value]).__next__) for value in (0.0, 0.5, 0.999)]
    assert spread == pytest.approx([0.8, 1.0, 1.2], abs=0.01)


def test_a_service_that_died_young_waits_ever_longer(attempts: RestartBackoff):
    waits = []
    for number in range(4):
        now = 1000.0 * number
        attempts.look([death(number)], now)
        waits.append(attempts.next_look(now))
        assert attempts.held(now) == {"a"}
        assert attempts.held(now + 100) == set()
    assert waits == [pytest.approx(1000 * n + 2**n) for n in range(4)]


def test_one_death_counts_once(attempts: RestartBackoff):
    for _ in range(5):
        attempts.look([death(1)], 0.0)
    assert attempts.records["a"].streak == 1


def test_a_death_in_the_same_second_as_the_last_counts_too(attempts: RestartBackoff):
    attempts.look([death(1)], 0.0)
    attempts.started("a", 1.0, again=True)
    attempts.look([death(1)], 1.0)
    assert attempts.records["a"].streak == 2


def test_a_service_that_died_old_need_not_wait(attempts: RestartBackoff):
    attempts.look([death(1)], 0.0)
    attempts.look([death(2, ran_for=int(SETTLED_SECONDS))], 200.0)
    assert attempts.held(200.0) == set()
    assert attempts.is_settled("a", 200.0)


def test_a_one_shot_that_ended_is_no_failure(attempts: RestartBackoff):
    attempts.look([death(1, restart_policy=RestartPolicy.NEVER)], 0.0)
    assert attempts.records["a"].streak == 0


def test_a_service_settles_by_running_for_a_while(attempts: RestartBackoff):
    attempts.look([death(1)], 0.0)
    attempts.started("a", 5.0, again=True)
    attempts.look([container("a")], 5.0)
    assert not attempts.is_settled("a", 5.0)
    assert attempts.next_look(5.0) == 5.0 + SETTLED_SECONDS
    attempts.look([container("a")], 5.0 + SETTLED_SECONDS)
    assert attempts.records["a"].streak == 0
    assert attempts.records["a"].restarts == 1


def test_a_new_digest_starts_afresh_and_other_services_are_forgotten(attempts: RestartBackoff):
    attempts.failed("a", errors.PortInUse("taken"), 0.0)
    attempts.expect({"a": "d1", "b": "d1"})
    assert attempts.held(0.0) == {"a"}
    attempts.expect({"a": "d2"})
    assert attempts.held(0.0) == set()
    assert attempts.records.keys() == {"a"}


def test_what_only_a_person_can_mend_is_tried_rarely(attempts: RestartBackoff):
    attempts.failed("a", errors.InvalidImage("no reference"), 0.0)
    permanent = attempts.next_look(0.0)
    attempts.expect({"a": "d2"})
    attempts.failed("a", errors.PortInUse("taken"), 0.0)
    retryable = attempts.next_look(0.0)
    assert permanent is not None
    assert retryable is not None
    assert permanent > 10 * retryable


def test_a_container_found_running_clears_its_error(attempts: RestartBackoff):
    attempts.failed("a", errors.PortInUse("taken"), 0.0)
    attempts.look([container("a")], 1.0)
    assert attempts.records["a"].error is None


def test_a_run_of_ours_that_was_just_long_enough_is_started_again_at_once(
    attempts: RestartBackoff,
):
    attempts.started("a", 0.0, again=False)
    attempts.look([death(1, ran_for=int(SETTLED_SECONDS))], SETTLED_SECONDS)
    assert attempts.held(SETTLED_SECONDS) == set()
    assert attempts.is_settled("a", SETTLED_SECONDS)


def test_a_container_that_can_not_be_removed_is_tried_ever_more_rarely_until_newer_intent(
    attempts: RestartBackoff,
):
    in_use = errors.ContainerFailed("its storage is busy")
    waits = []
    for number in range(4):
        now = 1000.0 * number
        attempts.not_removed("a", in_use, now)
        assert attempts.stuck(now) == {"a"}
        waits.append(attempts.next_look(now))
        assert attempts.held(now) == set()
        assert attempts.stuck(now + 100) == set()
    assert waits == [pytest.approx(1000 * n + 2**n) for n in range(4)]

    attempts.renew()
    assert attempts.stuck(3000.0) == set()
    assert attempts.next_look(3000.0) is None
    attempts.not_removed("a", in_use, 3000.0)
    assert attempts.next_look(3000.0) == pytest.approx(3001)


def test_another_node_is_no_failure_and_holds_up_ever_longer_until_a_run_settles(
    attempts: RestartBackoff,
):
    waits = []
    for number in range(3):
        now = 1000.0 * number
        attempts.other_node("a", now)
        assert attempts.is_settled("a", now)
        waits.append(attempts.next_look(now))
        assert attempts.held(now) == {"a"}
    assert waits == [pytest.approx(1000 * n + 2**n) for n in range(3)]

    attempts.started("a", 3000.0, again=False)
    attempts.look([container("a", "d1", has_other_node=True)], 3000.0 + SETTLED_SECONDS)
    attempts.other_node("a", 4000.0)
    assert attempts.next_look(4000.0) == pytest.approx(4008)
    attempts.look([container("a")], 4100.0)
    attempts.other_node("a", 5000.0)
    assert attempts.next_look(5000.0) == pytest.approx(5001)


def test_another_node_makes_no_wait_after_a_failure_any_shorter(attempts: RestartBackoff):
    attempts.failed("a", errors.InvalidImage("no reference"), 0.0)
    wait = attempts.next_look(0.0)
    attempts.other_node("a", 0.0)
    assert attempts.next_look(0.0) == wait


def test_a_restart_counts_and_why_it_was_made_stands(attempts: RestartBackoff):
    unhealthy = errors.Unhealthy("its health check fails")
    attempts.restarted("a", unhealthy, 10.0)
    record = attempts.records["a"]
    assert (record.restarts, record.streak, record.error) == (1, 1, unhealthy)
    assert (record.started_at, record.begun_at) == (10.0, 10.0)
    assert attempts.held(10.0) == {"a"}


def test_what_is_not_known_is_neither_held_nor_remembered(attempts: RestartBackoff):
    error = errors.PortInUse("taken")
    attempts.failed("b", error, 0.0)
    attempts.not_removed("b", error, 0.0)
    attempts.other_node("b", 0.0)
    attempts.started("b", 0.0, again=False)
    attempts.look([container("b"), container("a", "d2", Status.EXITED, exit_code=1)], 0.0)
    assert attempts.records.keys() == {"a"}
    assert attempts.records["a"].streak == 0
    assert attempts.is_settled("b", 0.0)
    assert attempts.next_look(0.0) is None


def test_only_what_failed_to_be_made_twice_in_a_row_is_unstartable(attempts: RestartBackoff):
    attempts.failed("a", errors.ContainerFailed("exit status 1"), 0.0)
    assert attempts.unstartable() == set()
    attempts.failed("a", errors.ContainerFailed("exit status 1"), 1.0)
    assert attempts.unstartable() == {"a"}
    attempts.failed("a", errors.PortInUse("taken"), 2.0)
    assert attempts.unstartable() == set()


def test_what_was_started_or_seen_running_was_seen(attempts: RestartBackoff):
    attempts.expect({"a": "d1", "b": "d1", "c": "d1"})
    attempts.started("a", 0.0, again=False)
    attempts.look([container("b")], 0.0)
    assert attempts.seen() == {"a", "b"}


def test_one_death_after_a_longer_run_makes_no_service_settle_later(attempts: RestartBackoff):
    attempts.look([death(1, ran_for=8)], 0.0)
    attempts.started("a", 1.0, again=True)
    assert not attempts.is_settled("a", SETTLED_SECONDS)
    assert attempts.is_settled("a", 1.0 + SETTLED_SECONDS)


def test_a_run_of_ours_was_no_longer_than_the_time_since_its_start(attempts: RestartBackoff):
    attempts.started("a", 1000.0, again=False)
    attempts.look([death(1, ran_for=1_700_000_000)], 1003.0)
    assert attempts.records["a"].longest == 3.0
