"""
Do what was planned. Holds no rule but this: a service whose action failed, or has to wait, gets no
further one.

Actions of one kind run side by side, and a container that takes its time to stop is no reason for
the others to wait (`slow_stops`). One that fails by a bug fails alone.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import structlog

from fleet import errors
from fleet.agent.runtimes.podman.planning import Action, Create, Remove, Restart, Start
from fleet.agent.runtimes.podman.slow_stops import SlowStops
from fleet.agent.runtimes.port import Runtime
from fleet.supervision.failures import Failures

log = structlog.get_logger(__name__)

PART = "action"

# Waits for something; False when newer intent came first.
UnlessNewer = Callable[[Coroutine[None, None, None]], Awaitable[bool]]
# By service, what an action for it failed by the last time, if it did.
Known = Mapping[str, errors.FleetError]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an action; *error* is None where it succeeded."""

    action: Action
    error: errors.FleetError | None = None


async def execute(
    actions: Iterable[Action],
    runtime: Runtime,
    *,
    is_overtaken: Callable[[], bool],
    unless_newer: UnlessNewer,
    stops: SlowStops[Outcome],
    failures: Failures | None = None,
    known: Known | None = None,
) -> tuple[Outcome, ...]:
    """
    Run *actions* in order, and tell what became of each that was tried, but for slow *stops*.

    Between two kinds it stops if *is_overtaken* says so: newer intent makes its own plan.
    What stops a container isn't waited for either, once there is newer intent (*unless_newer*):
    it goes on, and the next look tells what became of it. What is *known* to fail is no news: a
    device node may be away for weeks, and is looked for every few seconds.
    """
    recorded, failing = failures or Failures(), known or {}

    def attempt(action: Action) -> Coroutine[None, None, Outcome]:
        return _attempt(action, runtime, recorded, unless_newer, failing)

    outcomes: list[Outcome] = []
    left = stops.permitted(actions)
    while left and not is_overtaken():
        _, group = next(itertools.groupby(left, key=type))
        due = list(group)
        outcomes += await _side_by_side(due, attempt, stops)
        failed = {outcome.action.service for outcome in outcomes if outcome.error}
        left = stops.permitted(a for a in left[len(due) :] if a.service not in failed)
    return tuple(outcomes)


async def _side_by_side(
    actions: Sequence[Action],
    attempt: Callable[[Action], Coroutine[None, None, Outcome]],
    stops: SlowStops[Outcome],
) -> Sequence[Outcome]:
    if slow := [action for action in actions if isinstance(action, Remove | Restart)]:
        return await stops.run({action: attempt(action) for action in slow})
    attempts = [attempt(action) for action in actions]
    if len(attempts) == 1:  # as most often: then it needs no task of its own
        return (await attempts[0],)
    return await asyncio.gather(*attempts)


async def _attempt(
    action: Action, runtime: Runtime, failures: Failures, unless_newer: UnlessNewer, known: Known
) -> Outcome:
    kind = type(action).__name__.lower()
    contained = failures.contained(PART, _key(action), passes=(errors.FleetError,))
    try:
        with contained:
            await _perform(action, runtime, unless_newer)
    except errors.FleetError as exc:
        is_known = str(known.get(action.service, "")) == str(exc)
        (log.debug if is_known else log.warning)(
            "action failed", action=kind, service=action.service, reason=exc.reason, error=str(exc)
        )
        return Outcome(action, exc)
    if contained.failure:
        error = errors.InternalError(contained.failure.message, element=action.service)
        return Outcome(action, error)
    log.info("action done", action=kind, service=action.service)
    return Outcome(action)


def _key(action: Action) -> str:
    return action.workload.name if isinstance(action, Create) else action.container


async def _perform(action: Action, runtime: Runtime, unless_newer: UnlessNewer) -> None:
    match action:
        case Remove(container=container):
            await unless_newer(runtime.remove(container))
        case Create(workload=workload):
            await runtime.create(workload)
        case Restart(container=container):
            await unless_newer(runtime.restart(container))
        case Start(container=container):
            await runtime.start(container)
        case _:
            assert_never(action)
