"""
Decide what to say of a deployment: phase, services, error. Pure.

*Running* means that every long-running service runs the wanted revision, and
that every one-shot which ended did so with 0. A service that fell over shortly
after its start makes it `Pending`; one that does so again and again `Failed`
with `CrashLoop`, until it has kept running for longer than before those deaths.
One whose health check has not passed yet makes it `Pending`; one whose check fails `Failed` with
`Unhealthy`, also after its restart, until the check passes.
"""

import contextlib
import signal
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from fleet import errors
from fleet.agent.model import intents
from fleet.agent.model.reports import Report
from fleet.agent.model.runs import Run
from fleet.agent.runtimes.podman import planning
from fleet.agent.runtimes.podman.health import Course, Health
from fleet.agent.runtimes.port import Container, Status
from fleet.contracts.messages import Phase, ServiceState, StateError
from fleet.contracts.scores import RestartPolicy

CRASH_LOOP = "CrashLoop"
CONTAINER_EXITED = "ContainerExited"
INTERRUPTED = "Interrupted"
# So many deaths in a row are no accident; a constant of taste.
CRASHES_THAT_FAIL = 3

# Of a run that was longer than so many seconds it is told how long it was.
_SOON = 10.0
_BY_SIGNAL = 128  # plus its number: how a shell, and podman, tell it
_PULLING = "pulling"
_MISSING = "missing"
_REMEDY = "a new version of it is run"
# Nothing runs in what is so, nor does it end by itself.
_ODD = (Status.CREATED, Status.EXITED, Status.PAUSED, Status.BROKEN)


@dataclass(frozen=True, slots=True)
class History:
    """
    What a look at a container doesn't tell of its service.

    *streak* counts failures in a row, *deaths* those after a run of *longest* seconds at most.
    *exit_code* is of its last death, after which it waits for *wait* seconds.
    """

    streak: int = 0
    restarts: int = 0
    is_settled: bool = True
    error: errors.FleetError | None = None
    exit_code: int = 0
    wait: float = 0.0
    deaths: int = 0
    longest: float = 0.0
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """
    All that a report is made from.

    *found* are our containers of the deployment, *ran* its services that don't run again.
    """

    found: tuple[Container, ...]
    unstaged: Collection[str] = ()
    failures: Mapping[str, errors.FleetError] = field(default_factory=dict)
    slow: Mapping[str, errors.FleetError] = field(default_factory=dict)
    history: Mapping[str, History] = field(default_factory=dict)
    health: Mapping[str, Course] = field(default_factory=dict)
    ran: Mapping[str, Run] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Finding:
    phase: Phase
    error: StateError | None = None


def report(intent: intents.Apply | intents.Keep | intents.Refuse, view: View) -> Report:
    """Say how *intent* fares."""
    match intent:
        case intents.Apply():
            return _applied(intent, view)
        case intents.Keep():
            return _kept("", view)
        case intents.Refuse():
            kept = report(intent.kept, view)
            error = StateError(reason=intent.reason, message=intent.message)
            return Report(intent.revision, Phase.FAILED, kept.services, error)


def is_certain(view: View) -> bool:
    """
    Tell whether all is known that a report is made from.

    It isn't where a restarted agent has yet to check a service that was unhealthy:
    saying `Pending` meanwhile would have everybody look twice.
    """
    return not any(course.health is Health.UNKNOWN for course in view.health.values())


def unavailable(
    intent: intents.Apply | intents.Keep | intents.Refuse,
    error: errors.FleetError,
    told: Report | None,
) -> Report:
    """
    Say what can be said while the runtime doesn't answer.

    Containers run on without it: what was said of this revision stands.
    """
    revision = "" if isinstance(intent, intents.Keep) else intent.revision
    if told is not None and told.revision == revision:
        return told
    services = told.services if told is not None else ()
    return Report(revision, Phase.PENDING, services, _state_error(error, ""))


def withdrawal(view: View, told: Report | None) -> Report | None:
    """
    Say what somebody else keeps from going, of a deployment that is withdrawn; None if nothing.

    Until then it speaks of the revision that was *told* of.
    """
    by_service = {c.service: c for c in view.found}
    kept = {name: view.history[name].error for name in sorted(by_service) if name in view.history}
    for name, error in kept.items():
        if isinstance(error, errors.ContainerInUse):
            revision = told.revision if told is not None else ""
            services = _services(by_service, by_service, view)
            return Report(revision, Phase.FAILED, services, _state_error(error, name))
    return None


def internal_error(
    intent: intents.Apply | intents.Keep | intents.Refuse, message: str, told: Report | None
) -> Report:
    """Say that a bug keeps us from looking after a deployment; its containers run on."""
    revision = "" if isinstance(intent, intents.Keep) else intent.revision
    services = told.services if told is not None else ()
    error = StateError(reason=errors.InternalError.reason, message=message)
    return Report(revision, Phase.FAILED, services, error)


def _applied(intent: intents.Apply, view: View) -> Report:
    by_service = {c.service: c for c in view.found}
    digests = {w.service.name: w.digest for w in intent.workloads}
    findings = [_judge(n, d, by_service.get(n), view) for n, d in sorted(digests.items())]
    findings += [_leftover(n, view) for n in sorted(by_service.keys() - digests.keys())]
    return _summary(intent.revision, findings, _services(digests, by_service, view))


def _kept(revision: str, view: View) -> Report:
    by_service = {c.service: c for c in view.found}
    findings = [_judge(n, c.digest, c, view) for n, c in sorted(by_service.items())]
    return _summary(revision, findings, _services(by_service, by_service, view))


def _summary(
    revision: str, findings: Iterable[_Finding], services: tuple[ServiceState, ...]
) -> Report:
    ordered = list(findings)
    for phase in (Phase.FAILED, Phase.PENDING):
        worst = [finding for finding in ordered if finding.phase is phase]
        if worst:
            error = next((finding.error for finding in worst if finding.error), None)
            return Report(revision, phase, services, error)
    return Report(revision, Phase.RUNNING, services)


def _judge(name: str, digest: str, container: Container | None, view: View) -> _Finding:
    error = view.failures.get(name) or view.history.get(name, History()).error
    if error is not None:
        return _Finding(Phase.FAILED, _state_error(error, name))
    run = view.ran.get(name)
    if container is None and run is not None:
        return _judge_run(name, run.exit_code, f"its container is gone; {_REMEDY}")
    if container is None or container.digest != digest:
        slow = view.slow.get(name)
        return _Finding(Phase.PENDING, _state_error(slow, name) if slow else None)
    if _stays_interrupted(container, run):
        return _judge_run(name, None, f"{_where(container)}; {_REMEDY}")
    if run is not None and container.status in _ODD:
        return _judge_odd(container, run)
    return _judge_container(container, view.history.get(name, History()), view.health.get(name))


def _judge_container(container: Container, history: History, course: Course | None) -> _Finding:
    name = container.service
    match container.status:
        case Status.RUNNING if history.is_settled:
            return _judge_health(name, course)
        case Status.EXITED if _stays_down(container):
            return _judge_run(
                name,
                container.exit_code,
                f"{_where(container)}; {_REMEDY}",
                out_of_memory=container.out_of_memory,
            )
        case Status.RUNNING | Status.STOPPING | Status.EXITED:
            return _judge_crashes(container, history)
        case _:
            return _Finding(Phase.PENDING)


def _stays_down(container: Container) -> bool:
    if container.was_interrupted and container.restart_policy is not RestartPolicy.NEVER:
        return False
    return not planning.restarts(container.restart_policy, container.exit_code)


def _judge_odd(container: Container, run: Run) -> _Finding:
    """Judge a container that nothing is begun about: its service doesn't run again."""
    remedy = f"{_where(container)}; {_REMEDY}"
    if container.status is Status.PAUSED:
        remedy = f"it is paused, and `podman unpause {container.name}` lets it go on; {_REMEDY}"
    return _judge_run(
        container.service, run.exit_code, remedy, out_of_memory=container.out_of_memory
    )


def _judge_health(name: str, course: Course | None) -> _Finding:
    if course is None or course.health is Health.HEALTHY:
        return _Finding(Phase.RUNNING)
    if course.health is Health.UNHEALTHY:
        error = StateError(reason=errors.Unhealthy.reason, message=course.message, service=name)
        return _Finding(Phase.FAILED, error)
    return _Finding(Phase.PENDING)


def _stays_interrupted(container: Container, run: Run | None) -> bool:
    """Tell whether the power was cut amid a run that isn't made again."""
    is_never = container.restart_policy is RestartPolicy.NEVER
    was_seen_to_end = run is not None and run.exit_code is not None
    return container.was_interrupted and is_never and not was_seen_to_end


def _judge_run(
    name: str, exit_code: int | None, remedy: str, *, out_of_memory: bool = False
) -> _Finding:
    """Judge a run that isn't made again."""
    if exit_code == 0:
        return _Finding(Phase.RUNNING)
    if exit_code is None:
        reason, end = INTERRUPTED, "it was interrupted and may be half-way"
    else:
        reason, end = CONTAINER_EXITED, _ended(exit_code, out_of_memory=out_of_memory)
    message = f"{end}, and restartPolicy Never does not start it again; {remedy}"
    return _Finding(Phase.FAILED, StateError(reason=reason, message=message, service=name))


def _judge_crashes(container: Container, history: History) -> _Finding:
    name = container.service
    falls = max(history.streak, history.deaths)
    if falls < CRASHES_THAT_FAIL:
        return _Finding(Phase.PENDING)
    how = _ended(history.exit_code, out_of_memory=history.out_of_memory)
    is_soon = history.longest < _SOON
    when = "soon after its start" if is_soon else f"within {history.longest:.0f} s of its start"
    again = f" {history.wait:.0f} s after its end, a new version" if history.wait else ""
    message = (
        f"{how} {when}, {falls} times in a row; {_where(container)};"
        f" it is started again{again} at once"
    )
    return _Finding(Phase.FAILED, StateError(reason=CRASH_LOOP, message=message, service=name))


def _ended(exit_code: int, *, out_of_memory: bool) -> str:
    end = f"exited with {exit_code}"
    with contextlib.suppress(ValueError):
        end = f"was ended by {signal.Signals(exit_code - _BY_SIGNAL).name} ({exit_code})"
    return f"it ran out of memory and {end}" if out_of_memory else f"it {end}"


def _where(container: Container) -> str:
    return f"`podman logs {container.name}` on the device tells why"


def _leftover(name: str, view: View) -> _Finding:
    """A container that is to go: the revision isn't there before it has."""
    error = view.history.get(name, History()).error
    return _Finding(Phase.PENDING, _state_error(error, name) if error else None)


def _services(
    names: Iterable[str], by_service: Mapping[str, Container], view: View
) -> tuple[ServiceState, ...]:
    return tuple(_service(name, by_service.get(name), view) for name in sorted(names))


def _service(name: str, container: Container | None, view: View) -> ServiceState:
    restarts = view.history.get(name, History()).restarts
    if container is None and name in view.ran:
        ended = view.ran[name].exit_code is not None
        return ServiceState(name=name, state=str(Status.EXITED) if ended else _MISSING)
    if container is None:
        is_pulling = name in view.unstaged and name not in view.failures
        return ServiceState(name=name, state=_PULLING if is_pulling else _MISSING)
    state = _state(container, view.health.get(name))
    return ServiceState(name=name, state=state, image=container.image, restarts=restarts)


def _state(container: Container, course: Course | None) -> str:
    """Give the runtime's word; of what runs and isn't well, that of its health."""
    if course is None or container.status is not Status.RUNNING:
        return str(container.status)
    return str(container.status if course.health is Health.HEALTHY else course.health)


def _state_error(error: errors.FleetError, service: str) -> StateError:
    return StateError(reason=error.reason, message=str(error), service=service)
