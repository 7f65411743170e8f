"""
Check the health of what runs, each container in a task of its own.

podman has no timer of its own where there is no systemd, so the agent is that
timer. A check waits for no other, and nothing waits for a check: one that
hangs is given up on at its timeout, and has failed. One that could not be made
at all, since podman didn't answer or the container had just ended, says nothing; nor does one
that failed by a bug of ours, which is told as a problem of the device.
"""

import asyncio
import random as stdlib_random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from fleet import errors
from fleet.agent.model import backoff
from fleet.agent.runtimes.podman import health
from fleet.agent.runtimes.podman.health import Course, Health
from fleet.agent.runtimes.port import Container, Runtime, Status
from fleet.agent.system.cancellation import cancel
from fleet.contracts.scores import Healthcheck
from fleet.supervision.failures import Failures

log = structlog.get_logger(__name__)

PART = "health check"


@dataclass(slots=True)
class _Watch:
    """One run of one container."""

    container: Container
    check: Healthcheck
    course: Course
    since: float
    task: "asyncio.Task[None] | None" = field(default=None)

    def is_of(self, container: Container, check: Healthcheck | None) -> bool:
        """Tell whether this is the run of *container* that goes on, with the same check."""
        run = (container.id, container.started)
        return (self.container.id, self.container.started) == run and self.check == check


class HealthChecks:
    """The checks of one deployment. *poke* is called when one tells something new."""

    def __init__(
        self,
        runtime: Runtime,
        poke: Callable[[], None],
        random: backoff.Random = stdlib_random.random,
        failures: Failures | None = None,
    ) -> None:
        self._random = random
        self._failures = failures or Failures()
        self._runtime = runtime
        self._poke = poke
        self._watches: dict[str, _Watch] = {}

    def watch(self, checks: Mapping[str, Healthcheck], found: Iterable[Container]) -> None:
        """Check what runs of *found* by the *checks* of its services, and nothing else."""
        running = {c.service: c for c in found if c.status is Status.RUNNING}
        for service, watch in list(self._watches.items()):
            container = running.get(service)
            if container is None or not watch.is_of(container, checks.get(service)):
                self._forget(service)
        for service in (checks.keys() & running.keys()) - self._watches.keys():
            self._begin(running[service], checks[service])

    def courses(self) -> dict[str, Course]:
        """Map the services that are checked to how that goes."""
        return {service: watch.course for service, watch in self._watches.items()}

    def _forget(self, service: str) -> None:
        watch = self._watches.pop(service, None)
        if watch is None:
            return
        self._failures.recovered(PART, watch.container.name)
        if watch.task is not None:
            watch.task.cancel()

    async def close(self) -> None:
        """Break every check off."""
        tasks = [watch.task for watch in self._watches.values() if watch.task is not None]
        for service in tuple(self._watches):
            self._forget(service)
        await cancel(tasks)

    def _begin(self, container: Container, check: Healthcheck) -> None:
        watch = _Watch(container, check, health.begin(container.health), _now())
        self._watches[container.service] = watch
        watch.task = asyncio.create_task(self._follow(watch), name=f"check {container.name}")

    async def _follow(self, watch: _Watch) -> None:
        while True:
            contained = self._failures.contained(PART, watch.container.name)
            pause = 0.0
            with contained:
                age = _now() - watch.since
                self._note(watch, await self._next(watch, age))
                pause = health.pause(watch.course, watch.check, age)
            if contained.failure:
                self._go_without(watch)
                pause = backoff.RETRYABLE.delay(contained.failure.streak, self._random)
            await asyncio.sleep(pause)

    def _go_without(self, watch: _Watch) -> None:
        """What is told of the deployment doesn't wait for a check that can't be made."""
        if watch.course.health is Health.UNKNOWN:
            self._note(watch, Course())

    async def _next(self, watch: _Watch, age: float) -> Course:
        """Check once, and tell where that leads."""
        try:
            result = await self._runtime.probe(watch.container.name, float(watch.check.timeout))
        except errors.FleetError as exc:
            log.debug("check not made", container=watch.container.name, error=str(exc))
            # Whatever was the matter, what is told of the deployment doesn't wait for it.
            return Course() if watch.course.health is Health.UNKNOWN else watch.course
        return health.after(watch.course, watch.check, result, age)

    def _note(self, watch: _Watch, course: Course) -> None:
        before, watch.course = watch.course, course
        if course.health is not before.health:
            self._say(watch)
        elif course.health is not Health.UNHEALTHY or course.output == before.output:
            return
        self._poke()

    @staticmethod
    def _say(watch: _Watch) -> None:
        said = log.bind(container=watch.container.name, health=str(watch.course.health))
        if watch.course.health is Health.UNHEALTHY:
            said.warning("health changed", error=watch.course.message)
        else:
            said.info("health changed")


def _now() -> float:
    return asyncio.get_running_loop().time()
