"""
Remember which containers of one deployment we stop ourselves: how those end says nothing.

A worker that ends with 0 when it is told to has not done its work. Newer intent doesn't wait for
a stop that goes on, so such an end may be looked at: between stop and removal, or between stop
and start of a restart. It is taken for an interruption, until the container is gone or has
been started anew. An agent that is started meanwhile doesn't know of it.
"""

from collections.abc import Iterable
from dataclasses import replace

from fleet import errors
from fleet.agent.runtimes.podman.executor import Outcome
from fleet.agent.runtimes.podman.planning import Remove, Restart
from fleet.agent.runtimes.port import Container, Status

_NOT_STOPPED = (errors.ContainerInUse, errors.NameTaken)
_ENDED = (Status.CREATED, Status.EXITED)


class OwnStops:
    """The containers for whose present run a removal or a restart was asked for."""

    def __init__(self) -> None:
        self._started: dict[str, int] = {}

    def look(self, found: Iterable[Container]) -> None:
        """Forget those that are gone, or were started anew."""
        there = {c.id: c.started for c in found}
        self._started = {i: s for i, s in self._started.items() if there.get(i) == s}

    def services(self, found: Iterable[Container]) -> frozenset[str]:
        """List the services of *found* whose container we stopped, or are stopping."""
        return frozenset(c.service for c in found if self._is_ours(c))

    def interrupted(self, found: tuple[Container, ...]) -> tuple[Container, ...]:
        """Have the runs that we cut short look like what was interrupted."""
        if not self._started:  # as at nearly every look, of which each asks more than once
            return found
        return tuple(
            replace(c, exit_code=0, finished=0, out_of_memory=False)
            if c.status is Status.EXITED and self._is_ours(c)
            else c
            for c in found
        )

    def note(self, outcome: Outcome, planned_for: Iterable[Container]) -> None:
        """Take note of a stop that was asked for, also where something failed after it."""
        action = outcome.action
        if not isinstance(action, Remove | Restart) or isinstance(outcome.error, _NOT_STOPPED):
            return
        for container in planned_for:
            if container.name == action.container and container.status not in _ENDED:
                self._started[container.id] = container.started

    def _is_ours(self, container: Container) -> bool:
        return self._started.get(container.id) == container.started
