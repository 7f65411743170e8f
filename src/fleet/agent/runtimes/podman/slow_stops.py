"""
Stops that take their time: the services beside them don't wait for them.

A stop is waited for a moment, which is enough for most. One that takes longer goes on, and its
deployment is looked at and acted upon meanwhile, but for what has to wait for it:

* whatever is to be done about that service;
* a service that wants a port, or a device node, of a container that is being stopped;
* a service that is new, while one that is no longer wanted is being stopped: it may be the same
  one under another name, at work on the same data.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from typing import Generic, TypeVar

from fleet.agent.runtimes.podman.planning import Action, Create, Remove, Restart, Start
from fleet.agent.runtimes.port import Container
from fleet.agent.system import cancellation
from fleet.contracts.scores import Service

T = TypeVar("T")

# What a service takes that ends when it is told to; a constant of taste.
PATIENCE_SECONDS = 1.0


class SlowStops(Generic[T]):
    """The stops of one deployment. *poke* is called when one that was not waited for has ended."""

    def __init__(self, poke: Callable[[], None], patience: float = PATIENCE_SECONDS) -> None:
        self._poke = poke
        self._patience = patience
        self._going: dict[asyncio.Task[T], Remove | Restart] = {}
        self._new: list[Remove | Restart] = []
        self._found: Mapping[str, Container] = {}
        self._wanted: Collection[str] = ()

    def look(self, found: Iterable[Container], wanted: Collection[str]) -> None:
        """Take note of what there is, by service, and which services are wanted."""
        self._found = {container.service: container for container in found}
        self._wanted = wanted

    def services(self) -> frozenset[str]:
        """List the services whose stop goes on."""
        return frozenset(action.service for action in self._going.values())

    def left_alone(self) -> tuple[Action, ...]:
        """Take the stops that go on since this was asked last."""
        new, self._new = tuple(self._new), []
        return new

    def permitted(self, actions: Iterable[Action]) -> tuple[Action, ...]:
        """
        Leave out what has to wait for a stop, and what was to follow upon that.

        *actions* are all that are left of a plan: nothing is started that isn't made.
        """
        if not self._going:
            return tuple(actions)
        now, waiting = list[Action](), set[str]()
        for action in actions:
            if action.service in waiting or self._has_to_wait(action):
                waiting.add(action.service)
            else:
                now.append(action)
        return tuple(now)

    async def run(
        self, stops: Mapping[Remove | Restart, Coroutine[None, None, T]]
    ) -> tuple[T, ...]:
        """Begin *stops*, and return what became of those that ended soon."""
        begun = {asyncio.create_task(stop): action for action, stop in stops.items()}
        try:
            done, going = await asyncio.wait(begun, timeout=self._patience)
        except BaseException:
            await cancellation.cancel(begun)
            raise
        for task in going:
            self._going[task] = begun[task]
            self._new.append(begun[task])
            task.add_done_callback(lambda _: self._poke())
        return tuple(task.result() for task in begun if task in done)

    def ended(self) -> tuple[T, ...]:
        """Take what became of those that were not waited for, and ended since."""
        done = [task for task in self._going if task.done()]
        for task in done:
            del self._going[task]
        return tuple(task.result() for task in done)

    async def close(self) -> None:
        """Wait for none any more; podman goes on with them."""
        await cancellation.cancel(self._going)
        self._going.clear()

    def _has_to_wait(self, action: Action) -> bool:
        going = self.services()
        if action.service in going:
            return True
        if isinstance(action, Remove | Restart):
            return False
        is_new = isinstance(action, Create) and action.service not in self._found
        if is_new and not going <= set(self._wanted):
            return True
        wanted = self._wanted_by(action)
        return any(_collide(wanted, held) for name in going if (held := self._found.get(name)))

    def _wanted_by(self, action: Create | Start) -> Service | Container | None:
        if isinstance(action, Create):
            return action.workload.service
        return self._found.get(action.service)


def _collide(wanted: Service | Container | None, held: Container) -> bool:
    """Tell whether a port or a device node is asked for that is held."""
    if wanted is None:
        return False
    return any(port.collides(other) for port in wanted.ports for other in held.ports) or any(
        node.path == other.path and not (node.shared and other.shared)
        for node in wanted.devices
        for other in held.devices
    )
