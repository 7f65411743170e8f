"""
Runs named tasks. One that fails is recorded, and started again after a backoff; no other notices.

Supervisor is entered and left like `asyncio.TaskGroup`, on which it is built, with differences:

* An exception of a task doesn't cancel the others: the task is run again.
* A task that *ends for good* ends the supervisor with `Ended`: it returned though it was to run
  for ever, or it raised what it was said to end by, or KeyboardInterrupt.
* A task that was cancelled by nobody who may (a library, another part) is run again, where a
  TaskGroup would forget it.
* Cancelling whoever runs the supervisor cancels all tasks, and is never swallowed: also not by
  a task that makes another exception, or a result, of its cancellation.
"""

import asyncio
import random as stdlib_random
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from fleet.supervision import backoff, containment
from fleet.supervision.backoff import Backoff, Random
from fleet.supervision.failures import Failures

Run = Callable[[], Coroutine[Any, Any, None]]

# Longer than the longest backoff, so that a task which fails now and then counts as well.
SETTLED_SECONDS: Final = 120.0


class Ended(Exception):
    """A task ended for good. *part* names it; the cause is what it raised, if anything."""

    def __init__(self, part: str, why: str) -> None:
        super().__init__(f"{part}: {why}")
        self.part = part


@dataclass(frozen=True, slots=True)
class Spec:
    """
    A task to run.

    *may_end*: it may return. *ends_by*: the exceptions that it isn't started again after.
    """

    part: str
    run: Run
    key: Hashable = ""
    may_end: bool = False
    ends_by: tuple[type[Exception], ...] = ()


class Handle:
    """A task under supervision, for who started it."""

    def __init__(self) -> None:
        self.is_to_end = False
        self.task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        """End the task; it isn't started again."""
        self.is_to_end = True
        if self.task is not None:
            self.task.cancel()

    async def ended(self) -> None:
        """Wait until the task has ended, however it did."""
        if self.task is not None:
            await asyncio.wait({self.task})


class Supervisor:
    """An asynchronous context manager: inside, tasks are started; at its end, they are awaited."""

    def __init__(
        self,
        failures: Failures,
        restart: Backoff = backoff.RESTART,
        *,
        random: Random = stdlib_random.random,
        settled: float = SETTLED_SECONDS,
    ) -> None:
        self.failures = failures
        self._restart = restart
        self._random = random
        self._settled = settled
        self._group = asyncio.TaskGroup()
        self._owner: asyncio.Task[Any] | None = None
        self._handles: set[Handle] = set()
        self._is_ending = False

    async def __aenter__(self) -> Self:
        self._owner = asyncio.current_task()
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_ending = error is not None
        try:
            await self._group.__aexit__(kind, error, traceback)
        except BaseExceptionGroup as group:
            raise _first(group) from group
        finally:
            self._is_ending = True

    def start(
        self,
        part: str,
        run: Run,
        *,
        key: Hashable = "",
        may_end: bool = False,
        ends_by: tuple[type[Exception], ...] = (),
    ) -> Handle:
        """Run what *run* makes, until it is cancelled; see `Spec`."""
        handle = Handle()
        keeping = self._keep(Spec(part, run, key, may_end, ends_by), handle)
        handle.task = self._group.create_task(keeping, name=f"{part} {key}".strip())
        self._handles.add(handle)
        handle.task.add_done_callback(lambda _: self._handles.discard(handle))
        return handle

    def stop(self) -> None:
        """End all tasks, and so the supervisor, in order."""
        for handle in tuple(self._handles):
            handle.cancel()

    async def _keep(self, spec: Spec, handle: Handle) -> None:
        """Run one task again and again."""
        loop, streak = asyncio.get_running_loop(), 0
        while True:
            started = loop.time()
            error = await self._attempt(spec, handle)
            if error is None:
                return
            streak = 1 if loop.time() - started >= self._settled else streak + 1
            self.failures.failed(spec.part, spec.key, error, streak)
            del error  # its traceback holds frames, for as long as the pause
            await self._pause(self._restart.delay(streak, self._random), handle)

    async def _attempt(self, spec: Spec, handle: Handle) -> BaseException | None:
        """Run a task once. Return what it failed by, or None where it is to end."""
        loop = asyncio.get_running_loop()
        settled = loop.call_later(self._settled, self.failures.recovered, spec.part, spec.key)
        try:
            await spec.run()
        except BaseException as exc:  # noqa: BLE001 - what may not be contained is raised again
            return self._judge(spec, exc, handle)
        finally:
            settled.cancel()
        if containment.is_cancelled():
            return self._judge(spec, asyncio.CancelledError("swallowed"), handle)
        self.failures.recovered(spec.part, spec.key)
        if not spec.may_end:
            raise self._ended(spec, "ended by itself")
        return None

    def _judge(self, spec: Spec, error: BaseException, handle: Handle) -> BaseException:
        """Return a failure; raise the end."""
        if isinstance(error, GeneratorExit):
            raise error
        if containment.is_cancelled():
            self._take_cancellation(handle)
        elif isinstance(error, (Ended, *spec.ends_by)):
            raise self._ended(spec, containment.sentence(error)) from error
        elif containment.must_end(error):
            raise self._ended(spec, containment.reason(error)) from error
        return error

    async def _pause(self, seconds: float, handle: Handle) -> None:
        """Wait before another attempt. A stray cancellation only cuts the wait short."""
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self._take_cancellation(handle)

    def _take_cancellation(self, handle: Handle) -> None:
        """Raise a cancellation that somebody may ask for; take a stray one back."""
        owner, task = self._owner, asyncio.current_task()
        is_owners = owner is None or owner.done() or owner.cancelling() > 0
        if handle.is_to_end or self._is_ending or is_owners or task is None:
            raise asyncio.CancelledError
        while task.uncancel():
            pass

    def _ended(self, spec: Spec, why: str) -> Ended:
        self._is_ending = True
        return Ended(spec.part, why)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Choose what to raise for *group*: what ended a task, else the only one, else all."""
    ended = next((e for e in group.exceptions if isinstance(e, Ended)), None)
    if ended is not None:
        return ended
    return group.exceptions[0] if len(group.exceptions) == 1 else group
