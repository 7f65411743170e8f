"""`health`: what a row of checks amounts to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.agent.runtimes.podman import health
from fleet.agent.runtimes.podman.health import Course, Health
from fleet.agent.runtimes.port import Result
from fleet.contracts.scores import Healthcheck

CHECK = Healthcheck(command=("/check",), interval=10, retries=3, start_period=30)
PASS, FAIL = Result(passed=True), Result(passed=False, output="refused\n")


def course(results: list[Result], *, check: Healthcheck = CHECK, every: float = 10) -> Course:
    """Run through *results*, the first at age 0."""
    now = Course()
    for number, result in enumerate(results):
        now = health.after(now, check, result, number * every)
    return now


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        pytest.param([], Health.STARTING, id="nothing yet"),
        pytest.param([PASS], Health.HEALTHY, id="passed at once"),
        pytest.param([FAIL] * 5, Health.STARTING, id="start period over, two failures count"),
        pytest.param([FAIL] * 6, Health.UNHEALTHY, id="start period over, three failures count"),
        pytest.param([PASS, FAIL, FAIL], Health.HEALTHY, id="fewer failures than retries"),
        pytest.param([PASS, FAIL, FAIL, FAIL], Health.UNHEALTHY, id="once well, no start period"),
        pytest.param([PASS, FAIL, FAIL, PASS, FAIL, FAIL], Health.HEALTHY, id="never in a row"),
        pytest.param([*[FAIL] * 9, PASS], Health.HEALTHY, id="recovered"),
    ],
)
def test_health_follows_from_the_checks(results: list[Result], expected: Health):
    assert course(results).health is expected


def test_without_a_start_period_a_container_has_one_interval_to_start():
    check = Healthcheck(command=("/check",), interval=10, retries=2, start_period=0)
    assert course([FAIL, FAIL], check=check).failures == 1
    assert course([FAIL, FAIL, FAIL], check=check).health is Health.UNHEALTHY


@given(st.lists(st.sampled_from([PASS, FAIL])), st.integers(1, 5), st.integers(0, 60))
def test_only_as_many_failures_in_a_row_as_retries_say_make_it_unhealthy(
    results: list[Result], retries: int, start_period: int
):
    check = Healthcheck(command=("/c",), interval=10, retries=retries, start_period=start_period)
    ends_with = 0
    for result in reversed(results):
        if result.passed:
            break
        ends_with += 1
    found = course(results, check=check).health
    if ends_with < retries:
        assert found is not Health.UNHEALTHY
    if ends_with == 0 and results:
        assert found is Health.HEALTHY


@pytest.mark.parametrize(
    ("remembered", "result", "expected"),
    [
        ("healthy", FAIL, Health.HEALTHY),
        ("unhealthy", FAIL, Health.UNHEALTHY),
        ("unhealthy", PASS, Health.HEALTHY),
        ("starting", FAIL, Health.STARTING),
        ("", FAIL, Health.STARTING),
    ],
)
def test_a_restarted_agent_goes_on_from_what_podman_remembers(
    remembered: str, result: Result, expected: Health
):
    assert health.after(health.begin(remembered), CHECK, result, 0.0).health is expected


def test_while_a_container_starts_it_is_checked_often():
    assert health.pause(Course(), CHECK, 0.0) == 2
    assert health.pause(Course(), CHECK, 29.999) == 2
    assert health.pause(Course(), CHECK, 30.0) == 10
    assert health.pause(Course(Health.HEALTHY), CHECK, 0.0) == 10


def test_the_message_ends_with_what_was_printed_last_on_one_line():
    said = Course(Health.UNHEALTHY, 3, "x" * 1000 + "\nport closed\n").message
    assert said.startswith("its health check fails: ")
    assert said.endswith("x port closed")
    assert len(said) < 400
