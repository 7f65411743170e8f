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
