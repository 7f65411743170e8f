"""
Decide what the checks of a container say of its health. Pure.

| Was        | The check                        | Is                                  |
|------------|----------------------------------|-------------------------------------|
| any        | passed                           | healthy                             |
| starting   | failed, in its time to start     | starting, and nothing is counted    |
| other      | failed, less than *retries* times| the same                            |
| any        | failed *retries* times in a row  | unhealthy                           |
| unknown    | failed                           | unhealthy: it was so before we came |

The time to start is `startPeriod`, and one interval at least: the first check
is made at once, and must not fail a service that needs a moment.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from fleet.agent.runtimes.port import Result
from fleet.contracts.scores import Healthcheck

# While a container starts it is checked this often, so that it is not waited for any longer
# than it takes; a constant of taste.
_IMPATIENT_SECONDS = 2.0
_MESSAGE_LENGTH = 300


class Health(StrEnum):
    """How a container with a check is. *unknown*: it was unhealthy, and nobody looked since."""

    UNKNOWN = "unknown"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Course:
    """How the checks of one container have gone. *failures* are those in a row that count."""

    health: Health = Health.STARTING
    failures: int = 0
    output: str = ""

    @property
    def message(self) -> str:
        """Say what is wrong, for the person who reads a status."""
        said = " ".join(self.output.split())[-_MESSAGE_LENGTH:]
        return f"its health check fails: {said}" if said else "its health check fails"


def begin(remembered: str) -> Course:
    """Begin with what the runtime remembers of a container's health."""
    match remembered:
        case Health.HEALTHY:
            return Course(Health.HEALTHY)
        case Health.UNHEALTHY:
            return Course(Health.UNKNOWN)
        case _:
            return Course()


def after(course: Course, check: Healthcheck, result: Result, age: float) -> Course:
    """Go on from *course* with *result*, *age* seconds after the container was first seen."""
    if result.passed:
        return Course(Health.HEALTHY)
    if course.health is Health.STARTING and age < _time_to_start(check):
        return replace(course, output=result.output)
    failures = course.failures + 1
    is_over = failures >= check.retries or course.health is Health.UNKNOWN
    health = Health.UNHEALTHY if is_over else course.health
    return Course(health, failures, result.output)


def pause(course: Course, check: Healthcheck, age: float) -> float:
    """Give the seconds until the next check."""
    starts = course.health is Health.STARTING and age < _time_to_start(check)
    return min(check.interval, _IMPATIENT_SECONDS) if starts else check.interval


def _time_to_start(check: Healthcheck) -> float:
    return max(check.start_period, check.interval)
