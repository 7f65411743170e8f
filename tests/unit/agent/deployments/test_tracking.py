"""What is kept between looks at the containers of one deployment."""

import pytest

from fleet.agent.deployments.restart_backoff import SETTLED_SECONDS
from fleet.agent.deployments.tracking import Tracker
from fleet.agent.model import intents
from fleet.agent.model.runs import Memory
from fleet.agent.runtimes.port import Container, Status
from fleet.contracts.scores import Healthcheck
from fleet.supervision.failures import Failures
from tests.unit.agent.world import FakeRuntime, container, workload

NOW = 100.0
CHECKED = workload("a", "d1", healthcheck=Healthcheck(command=("/check",)))


def died(health: str) -> Container:
    """A container that ran for long enough, and ended before anybody looked."""
    finished = 1000 + int(SETTLED_SECONDS)
    return container(
        "a", "d1", Status.EXITED, exit_code=1, started=1000, finished=finished, health=health
    )


@pytest.mark.parametrize(
    ("health", "streak"), [("healthy", 0), ("starting", 1), ("unhealthy", 1), ("", 1)]
)
async def test_a_run_that_nobody_watched_has_proven_what_the_runtime_says(health: str, streak: int):
    runtime = FakeRuntime()
    tracker = Tracker(
        runtime, runtime.fetch, lambda: None, lambda: 0.5, Failures(), memory=Memory()
    )
    found = (died(health),)

    tracker.look(intents.Apply("r1", (CHECKED,)), found, NOW)

    assert tracker.view(found, NOW).history["a"].streak == streak
    await tracker.close()
