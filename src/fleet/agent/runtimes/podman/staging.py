"""
Have images on the device before anything is changed.

Each pull is a task of its own, so that the loop goes on repairing and
reporting meanwhile. A pull that is no longer wanted is broken off: a slow one
of an old revision never delays a new one.

A pull that takes long is told of, and goes on: a registry that says nothing as
a failure, since podman waits for it longer than anybody looks on; an image that
comes slowly, or waits for others, as what it is.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from fleet import errors
from fleet.agent.model import backoff
from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman.images import Fetch
from fleet.agent.runtimes.port import Runtime
from fleet.agent.system.cancellation import cancel
from fleet.supervision.failures import Failures

log = structlog.get_logger(__name__)

PART = "image"

_AWAITED = (errors.DeviceMissing, errors.DeviceInUse)

# Two at a time and deployment leave room for the other deployments.
_PULLS_AT_ONCE = 2
# A reason is there within a minute, whatever podman waits for.
_SLOW_SECONDS = 40.0
_LOOK_SECONDS = 15.0


@dataclass(slots=True)
class _Pull:
    """The image of one service with one digest."""

    workload: Workload
    task: "asyncio.Task[None] | None" = None
    error: errors.FleetError | None = None
    silence: errors.FleetError | None = None
    slow: errors.FleetError | None = None
    watch: asyncio.TimerHandle | None = None
    is_done: bool = False

    def unwatch(self) -> None:
        """Stop telling how long it takes."""
        self.silence = self.slow = None
        if self.watch is not None:
            self.watch.cancel()


class Staging:
    """The images of one deployment. *poke* is called when one arrived, failed, or takes long."""

    def __init__(
        self,
        runtime: Runtime,
        fetch: Fetch,
        poke: Callable[[], None],
        random: backoff.Random,
        failures: Failures | None = None,
    ) -> None:
        self._failures = failures or Failures()
        self._runtime = runtime
        self._fetch_image = fetch
        self._poke = poke
        self._random = random
        self._pulls: dict[str, _Pull] = {}
        self._slots = asyncio.Semaphore(_PULLS_AT_ONCE)

    def want(self, workloads: Iterable[Workload]) -> None:
        """Fetch the images of exactly these; break off, or forget, all others."""
        wanted = {w.service.name: w for w in workloads}
        for name, pull in list(self._pulls.items()):
            if name not in wanted or wanted[name].digest != pull.workload.digest:
                self._forget(name)
        for name, workload in wanted.items():
            if name not in self._pulls:
                pull = self._pulls[name] = _Pull(workload)
                pull.task = asyncio.create_task(self._fetch(pull), name=f"pull {workload.name}")

    def unstaged(self) -> frozenset[str]:
        """List the services whose image isn't there yet."""
        return frozenset(name for name, pull in self._pulls.items() if not pull.is_done)

    def awaiting(self) -> frozenset[str]:
        """List those whose device node isn't there, or is another's: that may take weeks."""
        return frozenset(n for n in self.unstaged() if isinstance(self._pulls[n].error, _AWAITED))

    def failures(self) -> dict[str, errors.FleetError]:
        """Map the services whose last try failed to why."""
        found = ((name, pull.error or pull.silence) for name, pull in self._pulls.items())
        return {name: error for name, error in found if error}

    def slow(self) -> dict[str, errors.FleetError]:
        """Map the services whose image is on its way for long to what it waits for."""
        return {name: pull.slow for name, pull in self._pulls.items() if pull.slow}

    def lost(self, service: str) -> None:
        """Note that the image of *service* isn't there after all."""
        if service in self._pulls:  # a container may be made anew of what it was made of before
            self._forget(service)

    def _forget(self, name: str) -> None:
        pull = self._pulls.pop(name)
        self._failures.recovered(PART, pull.workload.name)
        pull.unwatch()
        if pull.task is not None:
            pull.task.cancel()

    async def _fetch(self, pull: _Pull) -> None:
        """Try until the image is there."""
        for failures in range(1, 2**31):
            self._watch(pull, _SLOW_SECONDS)
            error = await self._try(pull.workload)
            pull.unwatch()
            if error is None:
                pull.is_done, pull.error = True, None
                self._poke()
                return
            if not isinstance(error, errors.RuntimeUnavailable):
                # Then the image isn't to blame, and the loop tells of it.
                self._note(pull, error)
            await asyncio.sleep(backoff.policy(error).delay(failures, self._random))

    def _watch(self, pull: _Pull, seconds: float) -> None:
        """Look at a try in *seconds*, and now and then from then on."""
        loop = asyncio.get_running_loop()
        pull.watch = loop.call_later(seconds, self._look, pull)

    def _look(self, pull: _Pull) -> None:
        """Tell why an image isn't there yet."""
        self._watch(pull, _LOOK_SECONDS)
        before = pull.silence, pull.slow
        pull.silence, pull.slow = self._delay(pull.workload.service.image)
        if (pull.silence is None, pull.slow is None) != (before[0] is None, before[1] is None):
            self._poke()

    def _delay(self, image: str) -> tuple[errors.FleetError | None, errors.FleetError | None]:
        """Say why an image takes long: that nobody answers, or that it isn't all there yet."""
        transfer = self._runtime.transfer(image)
        told = f"for {_SLOW_SECONDS:.0f} s"
        if transfer is None:
            what = f"{image} has waited {told} for other images of this device"
            return None, errors.ImagePullSlow(what, element=image)
        if transfer.is_answered:
            return None, errors.ImagePullSlow(f"{image} has been on its way {told}", element=image)
        if asyncio.get_running_loop().time() - transfer.asked < _SLOW_SECONDS - _LOOK_SECONDS:
            return None, errors.ImagePullSlow(f"{image} has just been asked for", element=image)
        what = (
            f"{image} did not come: its registry has not answered {told}, and is still asked:"
            " check that the device reaches it"
        )
        return errors.ImagePullFailed(what, element=image), None

    async def _try(self, workload: Workload) -> errors.FleetError | None:
        """Try once; return what went wrong."""
        contained = self._failures.contained(PART, workload.name, passes=(errors.FleetError,))
        try:
            with contained:
                await self._runtime.check(workload)
                async with self._slots:
                    await self._fetch_image(workload.service.image, workload.service.pull_policy)
        except errors.FleetError as exc:
            return exc
        if contained.failure:
            return errors.InternalError(contained.failure.message, element=workload.service.name)
        return None

    def _note(self, pull: _Pull, error: errors.FleetError) -> None:
        is_known = pull.error is not None and str(pull.error) == str(error)
        (log.debug if is_known else log.warning)(
            "not staged",
            workload=pull.workload.name,
            image=pull.workload.service.image,
            reason=error.reason,
            error=str(error),
        )
        pull.error = error
        self._poke()

    async def close(self) -> None:
        """Break every pull off."""
        tasks = [pull.task for pull in self._pulls.values() if pull.task is not None]
        for name in tuple(self._pulls):
            self._forget(name)
        await cancel(tasks)
