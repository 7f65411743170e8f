"""
Remember which containers of one deployment we stop ourselves: how those end says nothing.

A worker that ends with 0 when it is told to has not done its work. Newer intent doesn't wait for
a stop that goes on, so such an end may be looked at: between stop and removal, or between stop
and start of a restart. It is taken for an interruption, until the container is gone or has
been started anew.

Where the end of a service decides whether it runs again (`OnFailure`), the stop is remembered
before it is begun, for an agent that is started meanwhile. That one forgets it where the container
simply runs: the agent before it ended in time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from fleet import errors
from fleet.agent.model.runs import Memory
from fleet.agent.runtimes.podman.executor import Outcome
from fleet.agent.runtimes.podman.planning import Action, Remove, Restart
from fleet.agent.runtimes.port import Container, Status
from fleet.contracts.scores import RestartPolicy

_NOT_STOPPED = (errors.ContainerInUse, errors.NameTaken)
_ENDED = (Status.CREATED, Status.EXITED)


class OwnStops:
    """The containers for whose present run a removal or a restart was asked for."""

    def __init__(self, memory: Memory) -> None:
        self._started: dict[str, int] = dict(memory.stops)
        self._remembered: Mapping[str, int] = memory.stops
        self._save = memory.save_stops
        self._is_recalled = True

    def look(self, found: Iterable[Container]) -> None:
        """Forget those that are gone, or were started anew."""
        there = {c.id: c.started for c in found if not (self._is_recalled and _is_untold(c))}
        self._started = {i: s for i, s in self._started.items() if there.get(i) == s}
        self._is_recalled = False
        self._keep({i: s for i, s in self._remembered.items() if self._started.get(i) == s})

    def begin(self, actions: Iterable[Action], found: Iterable[Container]) -> None:
        """Take note of what is about to be stopped, where a restart has to know of it."""
        names = {a.container for a in actions if isinstance(a, Remove | Restart)}
        due = {c.id: c.started for c in found if c.name in names and _tells_by_its_end(c)}
        self._keep({**self._remembered, **due})

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

    def go_on(self, actions: Iterable[Action], planned_for: Iterable[Container]) -> None:
        """Take note of stops that nobody waits for."""
        for action in actions:
            self.note(Outcome(action), planned_for)

    def note(self, outcome: Outcome, planned_for: Iterable[Container]) -> None:
        """Take note of a stop that was asked for, also where something failed after it."""
        action = outcome.action
        if not isinstance(action, Remove | Restart) or isinstance(outcome.error, _NOT_STOPPED):
            return
        for container in planned_for:
            if container.name == action.container and container.status not in _ENDED:
                self._started[container.id] = container.started

    def _keep(self, stops: Mapping[str, int]) -> None:
        if stops != self._remembered:
            self._remembered = stops
            self._save(stops)

    def _is_ours(self, container: Container) -> bool:
        return self._started.get(container.id) == container.started


def _is_untold(container: Container) -> bool:
    """Podman calls stopping what it has told to end."""
    return container.status is Status.RUNNING


def _tells_by_its_end(container: Container) -> bool:
    return container.restart_policy is RestartPolicy.ON_FAILURE and container.status not in _ENDED
