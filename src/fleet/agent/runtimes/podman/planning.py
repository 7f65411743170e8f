"""
Decide what is to be done for one deployment. Pure.

| Wanted | Found            | Image    | Actions                 |
|--------|------------------|----------|-------------------------|
| yes    | nothing          | staged   | Create, Start           |
| yes    | other digest     | staged   | Remove, Create, Start   |
| yes    | broken, paused   | staged   | Remove, Create, Start   |
| yes    | same, not begun  |          | Start                   |
| yes    | same, ended      |          | Start, where it restarts|
| yes    | same, won't start| staged   | Remove, Create, Start   |
| yes    | same, won't start| unstaged | Start                   |
| yes    | same, other node | staged   | Remove, Create, Start   |
| yes    | same, other node | unstaged | none                    |
| yes    | same, unhealthy  |          | Restart, where it does  |
| yes    | same, runs       |          | none                    |
| yes    | same, or nothing | ran      | none                    |
| yes    | any              | unstaged | as if found were wanted |
| no     | anything         |          | Remove                  |

*Stage before you change*: as long as one image isn't on the device, nothing
that exists is taken away, so the old version serves on, all of it. It is kept
alive meanwhile, but for what never began: that serves nobody, and a start of it that
fails would hold the new one back. Services whose container doesn't exist are independent of that.

A service that *ran* is one of those that don't run again. Nothing is begun about it, whatever
became of its container: not one that ended as its policy wants, nor one that is never to run
twice and may be half-way.

*Held* services failed a moment ago; nothing is begun about them until their
backoff has passed. What is no longer wanted goes all the same: it waits only
where its own removal failed a moment ago, and it is *stuck*. Meanwhile what
is to be replaced is kept alive. *Unstartable* services failed to start again
and again: their container may be one that podman was killed over. It is made anew once that
is known to be possible, and started again until then; the other services don't wait for it.

A container with *another node* than is there now is made anew where it would be started, or
runs for good: it would never find the node, and may find another's. One that runs to an end is
left alone until then, as its own work may be what gave the node another number: unless its
health check fails. Nor do others wait for a service that is *awaiting* a node: that one alone
keeps its version before.

All removals come before all creations, those before all restarts, and those
before all starts: names and ports are free before somebody asks for them. The
result is sorted, and so doesn't depend on the order of the arguments.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from msgspec import structs

from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.port import Container, Status
from fleet.contracts.scores import PullPolicy, RestartPolicy


@dataclass(frozen=True, slots=True)
class Remove:
    """Stop and remove a container."""

    service: str
    container: str


@dataclass(frozen=True, slots=True)
class Create:
    """Make the container of a workload."""

    service: str
    workload: Workload


@dataclass(frozen=True, slots=True)
class Start:
    """Start a container; *again* if it ran before."""

    service: str
    container: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class Restart:
    """Stop a container that runs, and start it again."""

    service: str
    container: str


Action: TypeAlias = Remove | Create | Restart | Start


def to_stage(
    wanted: Iterable[Workload],
    found: Iterable[Container],
    *,
    unhealthy: Collection[str] = (),
    unstartable: Collection[str] = (),
    ran: Collection[str] = (),
) -> tuple[Workload, ...]:
    """List the workloads whose image has to be on the device before anything is changed."""
    by_service = {c.service: c for c in found}
    anew = _made_anew(by_service, unhealthy, unstartable)
    due = [w for w in wanted if w.service.name not in ran]
    fresh = [w for w in due if _is_outdated(w, by_service.get(w.service.name))]
    again = [_as_it_was(w) for w in due if w not in fresh and w.service.name in anew]
    return tuple(sorted([*fresh, *again], key=lambda w: w.name))


def plan(
    wanted: Iterable[Workload],
    found: Iterable[Container],
    *,
    unstaged: Collection[str] = (),
    awaiting: Collection[str] = (),
    held: Collection[str] = (),
    stuck: Collection[str] = (),
    unhealthy: Collection[str] = (),
    unstartable: Collection[str] = (),
    ran: Collection[str] = (),
) -> tuple[Action, ...]:
    """List the actions that bring *found* to *wanted*, in order."""
    wanted = tuple(wanted)
    waiting = {*held, *stuck, *ran}
    workloads = {w.service.name: w for w in wanted if w.service.name not in waiting}
    unwanted = {c.service: c for c in found if c.service not in _names(wanted)}
    existing = {c.service: c for c in found if c.service not in waiting}
    by_service = {c.service: c for c in found}
    changed = {w.service.name for w in wanted if _is_outdated(w, by_service.get(w.service.name))}
    anew = _made_anew(by_service, unhealthy, unstartable)
    # What isn't changed but made anew is no reason for the others to wait, nor who awaits a node.
    alone = {n for n in unstaged if n in awaiting or (n in anew and n not in changed)}
    outdated = {
        n: w for n, w in workloads.items() if (n in changed or n in anew) and n not in alone
    }
    if set(unstaged) - alone:
        fresh = {n: w for n, w in outdated.items() if n not in existing and n not in unstaged}
        gone: set[str] = set()
    else:
        fresh = outdated
        gone = {n for n in existing if n in fresh} | {n for n in unwanted if n not in stuck}
    unbegun = {n for n, c in existing.items() if n in changed and _never_began(c)}
    stay = {n: c for n, c in existing.items() if n not in gone | unbegun}
    serving = {c.service: c for c in found if c.service in stuck and c.service not in held}
    return (
        *_removals({**existing, **unwanted}, gone),
        *_creations(fresh),
        *_restarts(stay, unhealthy),
        *_starts(fresh, {**stay, **{n: c for n, c in serving.items() if n not in unwanted}}),
    )


def keep(
    found: Iterable[Container], *, held: Collection[str] = (), ran: Collection[str] = ()
) -> tuple[Action, ...]:
    """List the actions that keep alive what is there."""
    stay = {c.service: c for c in found if c.service not in held and c.service not in ran}
    return _starts({}, stay)


def withdraw(found: Iterable[Container], *, stuck: Collection[str] = ()) -> tuple[Action, ...]:
    """List the actions that leave nothing."""
    existing = {c.service: c for c in found if c.service not in stuck}
    return _removals(existing, set(existing))


def restarts(policy: RestartPolicy, exit_code: int) -> bool:
    """Tell whether a service that ended with *exit_code* is to run again."""
    match policy:
        case RestartPolicy.ALWAYS:
            return True
        case RestartPolicy.ON_FAILURE:
            return exit_code != 0
        case RestartPolicy.NEVER:
            return False


def _names(wanted: Iterable[Workload]) -> frozenset[str]:
    return frozenset(w.service.name for w in wanted)


def _as_it_was(workload: Workload) -> Workload:
    """Ask for no newer image: a container that is made anew is made of what is there."""
    if workload.service.pull_policy is not PullPolicy.ALWAYS:
        return workload
    service = structs.replace(workload.service, pull_policy=PullPolicy.IF_NOT_PRESENT)
    return replace(workload, service=service)


def _is_outdated(workload: Workload, container: Container | None) -> bool:
    if container is None or container.digest != workload.digest:
        return True
    return container.status in (Status.BROKEN, Status.PAUSED)


def _made_anew(
    by_service: Mapping[str, Container], unhealthy: Collection[str], unstartable: Collection[str]
) -> frozenset[str]:
    """List the services whose container, though it may be the wanted one, is of no use any more."""
    return frozenset(
        name
        for name, c in by_service.items()
        if (name in unstartable and _wants_start(c))
        or (c.has_other_node and (_wants_start(c) or _runs_for_good(c, name in unhealthy)))
    )


def _runs_for_good(container: Container, is_unhealthy: bool) -> bool:
    if container.status is not Status.RUNNING:
        return False
    policy = container.restart_policy
    return policy is RestartPolicy.ALWAYS or (is_unhealthy and policy is not RestartPolicy.NEVER)


def _never_began(container: Container) -> bool:
    return container.status is Status.CREATED and not container.has_begun


def _removals(existing: Mapping[str, Container], gone: set[str]) -> tuple[Remove, ...]:
    return tuple(Remove(name, existing[name].name) for name in sorted(gone))


def _creations(fresh: Mapping[str, Workload]) -> tuple[Create, ...]:
    return tuple(Create(name, fresh[name]) for name in sorted(fresh))


def _restarts(stay: Mapping[str, Container], unhealthy: Collection[str]) -> tuple[Restart, ...]:
    """A service that is never to run twice isn't restarted either: it may be half-way."""
    return tuple(
        Restart(name, c.name)
        for name, c in sorted(stay.items())
        if name in unhealthy
        and c.status is Status.RUNNING
        and c.restart_policy is not RestartPolicy.NEVER
        and not c.has_other_node
    )


def _starts(fresh: Mapping[str, Workload], stay: Mapping[str, Container]) -> tuple[Start, ...]:
    begun = [Start(name, fresh[name].name) for name in fresh]
    again = [
        Start(name, c.name, again=c.status is Status.EXITED)
        for name, c in stay.items()
        if _wants_start(c) and not c.has_other_node
    ]
    return tuple(sorted([*begun, *again], key=lambda start: start.service))


def _wants_start(container: Container) -> bool:
    if container.was_interrupted:
        return container.restart_policy is not RestartPolicy.NEVER
    match container.status:
        case Status.CREATED:
            return True
        case Status.EXITED:
            return restarts(container.restart_policy, container.exit_code)
        case _:
            return False
