"""
Keep what a look at the containers of one deployment doesn't tell.

Which images are there, what failed and how often, how health checks go. `loop`
holds only the order in which these are consulted and acted upon.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import assert_never

from fleet import errors
from fleet.agent.deployments.own_stops import OwnStops
from fleet.agent.deployments.restart_backoff import RestartBackoff
from fleet.agent.deployments.single_runs import SingleRuns
from fleet.agent.model import backoff, intents
from fleet.agent.model.runs import Memory, Run
from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman import health, planning, reporting
from fleet.agent.runtimes.podman.executor import Outcome
from fleet.agent.runtimes.podman.health import Health
from fleet.agent.runtimes.podman.health_checks import HealthChecks
from fleet.agent.runtimes.podman.images import Fetch
from fleet.agent.runtimes.podman.slow_stops import SlowStops
from fleet.agent.runtimes.podman.staging import Staging
from fleet.agent.runtimes.port import Container, Runtime
from fleet.contracts.scores import Healthcheck
from fleet.supervision.failures import Failures


class Tracker:
    """Tracks one deployment. *poke* is called when an image, a failure or a check changed."""

    def __init__(
        self,
        runtime: Runtime,
        fetch: Fetch,
        poke: Callable[[], None],
        random: backoff.Random,
        failures: Failures,
        *,
        memory: Memory,
    ) -> None:
        self._staging = Staging(runtime, fetch, poke, random, failures)
        self._health_checks = HealthChecks(runtime, poke, random, failures)
        self._retries = RestartBackoff(random)
        self._poke = poke
        self._single_runs = SingleRuns(memory, poke)
        self._own_stops = OwnStops(memory)
        self.stops = SlowStops[Outcome](poke)
        self._planned_for: tuple[Container, ...] = ()
        self._ran: Mapping[str, Run] = {}
        self._unstartable: frozenset[str] = frozenset()
        self._other_nodes: frozenset[str] = frozenset()
        self._intent: intents.Intent | None = None

    def look(self, intent: intents.Intent, found: tuple[Container, ...], now: float) -> None:
        """Compare with what was *found*, for what is there or is to be."""
        workloads = _workloads(intent)
        digests = {c.service: c.digest for c in found}
        digests |= {w.service.name: w.digest for w in workloads}
        self._retries.expect(digests)
        if intent is not self._intent:
            self._retries.renew()
        self._intent = intent
        is_told = isinstance(intents.pursued(intent), intents.Apply)
        wanted = [w.service.name for w in workloads] if is_told else None
        self._own_stops.look(found)
        seen = self._retries.seen() - self._own_stops.services(found)
        self._single_runs.look(self._own_stops.interrupted(found), seen=seen, wanted=wanted)
        self._ran = self._single_runs.ran(digests, found)
        self._unstartable = self._retries.unstartable()
        self._other_nodes = frozenset(c.service for c in found if c.has_other_node)
        to_stage = planning.to_stage(
            workloads,
            self._own_stops.interrupted(found),
            unhealthy=self._unhealthy(),
            unstartable=self._unstartable,
            ran=self._ran,
        )
        self._staging.want(to_stage)
        checks = _checks(workloads, found)
        unproven = self._unproven() | self._unseen(checks, found)
        self._health_checks.watch(checks, found)
        steady = [c for c in found if c.service not in self.stops.services()]
        self._retries.look(steady, now, unproven | self._unproven())

    def plan(
        self, intent: intents.Intent, found: tuple[Container, ...], now: float
    ) -> tuple[planning.Action, ...]:
        """List what is to be done; what runs once is remembered before it begins, or is ended."""
        self._planned_for = found
        self.stops.look(found, [w.service.name for w in _workloads(intent)])
        actions = self._plan(intent, self._own_stops.interrupted(found), now)
        actions = self.stops.permitted(actions)
        if not actions:
            return ()
        self._own_stops.begin(actions, found)
        return self._single_runs.begin(actions, found)

    def _plan(
        self, intent: intents.Intent, found: tuple[Container, ...], now: float
    ) -> tuple[planning.Action, ...]:
        ran = self._ran
        held, stuck = self._retries.held(now), self._retries.stuck(now)
        match intents.pursued(intent):
            case intents.Apply(workloads=wanted):
                return planning.plan(
                    wanted,
                    found,
                    unstaged=self._staging.unstaged(),
                    awaiting=self._staging.awaiting(),
                    held=held,
                    stuck=stuck,
                    unhealthy=self._unhealthy(),
                    unstartable=self._unstartable,
                    ran=ran,
                )
            case intents.Keep():
                return planning.keep(found, held=held, ran=ran)
            case intents.Withdraw():
                return planning.withdraw(found, stuck=stuck)
            case other:
                assert_never(other)

    def last_errors(self) -> Mapping[str, errors.FleetError]:
        """Map the services of which an action failed to what the last one failed by."""
        return {name: r.error for name, r in self._retries.records.items() if r.error is not None}

    def view(self, found: tuple[Container, ...], now: float) -> reporting.View:
        """Tell all that a report is made from."""
        return reporting.View(
            found=self._own_stops.interrupted(found),
            unstaged=self._staging.unstaged(),
            failures=self._staging.failures(),
            slow=self._staging.slow(),
            history={
                name: reporting.History(
                    record.streak,
                    record.restarts,
                    self._retries.is_settled(name, now),
                    record.error,
                    record.exit_code,
                    record.wait,
                    record.deaths,
                    record.longest,
                    record.out_of_memory,
                )
                for name, record in self._retries.records.items()
            },
            health=self._health_checks.courses(),
            ran=self._ran,
        )

    def note(self, outcomes: Iterable[Outcome], now: float) -> None:
        """Write down what became of actions, and which stops go on."""
        self._own_stops.go_on(self.stops.left_alone(), self._planned_for)
        for outcome in outcomes:
            self._own_stops.note(outcome, self._planned_for)
            self._note(outcome, now)

    def note_ended(self, now: float) -> None:
        """Write down what became of stops that went on. To be called before containers are read."""
        for outcome in self.stops.ended():
            self._note(outcome, now)

    def _note(self, outcome: Outcome, now: float) -> None:
        match outcome:
            case Outcome(error=errors.RuntimeUnavailable()):
                # The service isn't to blame, and the next look tells what became of it.
                return
            case Outcome(action=planning.Remove(service=service), error=errors.FleetError() as e):
                self._retries.not_removed(service, e, now)
                self._poke()  # what stays may have to be started again
            case Outcome(action=action, error=errors.FleetError() as error):
                self._retries.failed(action.service, error, now)
                if isinstance(error, errors.ImageNotFound):
                    self._staging.lost(action.service)
            case Outcome(action=planning.Remove(service=s)) if s in self._other_nodes:
                self._retries.other_node(s, now)
            case Outcome(action=planning.Start() as start):
                self._retries.started(start.service, now, again=start.again)
            case Outcome(action=planning.Restart(service=service)):
                self._note_restart(service, now)
            case _:
                pass
        self._single_runs.note(outcome)

    def next_look(self, now: float) -> float | None:
        """Give the time at which waiting for something is over; None where nothing waits."""
        return self._retries.next_look(now)

    async def close(self) -> None:
        """End whatever goes on."""
        await self.stops.close()
        await self._staging.close()
        await self._health_checks.close()

    def _note_restart(self, service: str, now: float) -> None:
        course = self._health_checks.courses().get(service)
        message = course.message if course is not None else "its health check fails"
        self._retries.restarted(service, errors.Unhealthy(message, element=service), now)

    def _unproven(self) -> frozenset[str]:
        courses = self._health_checks.courses().items()
        return frozenset(name for name, c in courses if c.health is not Health.HEALTHY)

    def _unseen(
        self, checks: Mapping[str, Healthcheck], found: tuple[Container, ...]
    ) -> frozenset[str]:
        """List the services whose run nobody watched, and which the runtime knows no better."""
        watched = self._health_checks.courses()
        return frozenset(
            c.service
            for c in found
            if c.service in checks.keys() - watched.keys()
            and health.begin(c.health).health is not Health.HEALTHY
        )

    def _unhealthy(self) -> frozenset[str]:
        courses = self._health_checks.courses().items()
        return frozenset(name for name, c in courses if c.health is Health.UNHEALTHY)


def _workloads(intent: intents.Intent) -> tuple[Workload, ...]:
    pursued = intents.pursued(intent)
    return pursued.workloads if isinstance(pursued, intents.Apply) else ()


def _checks(workloads: Iterable[Workload], found: Iterable[Container]) -> Mapping[str, Healthcheck]:
    """Map the services that run as wanted, and have a check, to that."""
    current = {(c.service, c.digest) for c in found}
    return {
        w.service.name: w.service.healthcheck
        for w in workloads
        if w.service.healthcheck is not None and (w.service.name, w.digest) in current
    }
