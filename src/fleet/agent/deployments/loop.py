"""
One deployment's loop: look, decide, act, tell, wait.

Level-triggered: what wakes it (newer intent, an event, an image that arrived,
the time) says only "look again". Newer intent is taken at once, whatever the
loop waits for, and between any two kinds of actions.

A pass that fails by a bug is told as the deployment's error, and made again after a backoff.
"""

import asyncio
import random as stdlib_random
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Protocol

import structlog

from fleet import errors
from fleet.agent.deployments.tracking import Tracker
from fleet.agent.hub.state_publisher import StateKey, StatePublisher
from fleet.agent.model import backoff, intents
from fleet.agent.model.reports import Report
from fleet.agent.model.runs import Memory
from fleet.agent.runtimes.podman import executor, reporting
from fleet.agent.runtimes.podman.images import Fetch
from fleet.agent.runtimes.port import Container, Runtime
from fleet.contracts.names import DeploymentName
from fleet.supervision import containment
from fleet.supervision.failures import Failure, Failures

log = structlog.get_logger(__name__)

PART = "deployment"


class Settling(Protocol):
    """What knows, before a container is touched, what is to be done: `journal.Journal`."""

    def is_settled(self, deployment: DeploymentName) -> bool:
        """Tell whether it knows, or can't know."""

    async def settled(self, deployment: DeploymentName) -> None:
        """Wait for that."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """
    How often to look without being asked to: seconds, and by what share they vary.

    *check* is how often the runtime is asked whether it works.
    """

    resync: float = 20.0
    check: float = 15.0
    jitter: float = 0.5

    def next_look(self, random: backoff.Random) -> float:
        """Draw the time until the next look."""
        return self.resync * (1 - self.jitter / 2 + self.jitter * random())


class Loop:
    """Brings one deployment about, and keeps it so. `run` ends once it is withdrawn."""

    def __init__(
        self,
        deployment: DeploymentName,
        intent: intents.Intent,
        runtime: Runtime,
        publisher: StatePublisher,
        *,
        rhythm: Rhythm = Rhythm(),
        random: backoff.Random = stdlib_random.random,
        fetch: Fetch | None = None,
        journal: Settling | None = None,
        memory: Memory = Memory(),  # noqa: B008 - frozen
        failures: Failures | None = None,
    ) -> None:
        self._failures = failures or Failures()
        self.deployment = deployment
        self.intent = intent
        self._runtime = runtime
        self._key = StateKey(publisher, deployment, memory.note_heard)
        self._rhythm = rhythm
        self._random = random
        self._journal = journal
        self._memory = memory
        self._woken = asyncio.Event()
        self._newer = asyncio.Event()
        self._interruptions: set[asyncio.Future[None]] = set()
        self._tracker = Tracker(
            runtime, fetch or runtime.fetch, self.poke, random, self._failures, memory=memory
        )
        self._log = log.bind(deployment=deployment)
        self._unavailable = 0
        self._bugs = 0

    def intend(self, intent: intents.Intent) -> None:
        """Pursue *intent* from now on."""
        if intent == self.intent:
            self.poke()
            return
        self.intent = intent
        self._newer.set()
        self._woken.set()
        for waiting in self._interruptions:
            waiting.set_result(None)
        self._interruptions.clear()

    def poke(self) -> None:
        """Look again."""
        self._woken.set()

    @property
    def report(self) -> Report | None:
        """What was told last."""
        return self._key.report

    def was_heard(self) -> None:
        """Take note that the hub heard of this deployment before we were started."""
        self._key.was_heard()

    def repeat(self) -> None:
        """Tell once more what was told."""
        self._key.repeat()

    async def run(self) -> None:
        """Reconcile until the deployment is withdrawn and its key gone, or until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(self._key.run(), name=f"tell {self.deployment}")
            try:
                await self._reconcile_until_gone()
            finally:
                await self._tracker.close()
                writer.cancel()

    async def _reconcile_until_gone(self) -> None:
        while True:
            # Before anything is read, so that no change is lost.
            self._woken.clear()
            self._newer.clear()
            is_gone = await self._try_pass(self.intent)
            if is_gone and await self._unless_newer(self._key.gone()):
                return
            await self._wait(self._pause())

    async def _try_pass(self, intent: intents.Intent) -> bool:
        """Make a pass; note how it failed, if it did. True when nothing is left."""
        contained = self._failures.contained(
            PART, self.deployment, passes=(errors.RuntimeUnavailable,)
        )
        is_gone = False
        try:
            with contained:
                is_gone = await self._pass(intent)
        except errors.RuntimeUnavailable as exc:
            self._note_unavailable(intent, exc)
            return False
        self._unavailable = 0
        if contained.failure:
            self._note_bug(intent, contained.failure)
        elif self._bugs:
            self._bugs = 0
            self.poke()  # to say how it really fares
        return is_gone

    async def _pass(self, intent: intents.Intent) -> bool:
        """Look and act once. True when the intent was to withdraw and nothing is left."""
        with structlog.contextvars.bound_contextvars(deployment=str(self.deployment)):
            found = await self._look(intent)
            actions = self._tracker.plan(intent, found, self._now())
            if actions and await self._may_act(intent, found):
                outcomes = await executor.execute(
                    actions,
                    self._runtime,
                    is_overtaken=self._newer.is_set,
                    unless_newer=self._unless_newer,
                    stops=self._tracker.stops,
                    failures=self._failures,
                    known=self._tracker.last_errors(),
                )
                self._tracker.note(outcomes, self._now())
                found = await self._look(intent)
            return await self._is_withdrawn(intent, found)

    async def _look(self, intent: intents.Intent) -> tuple[Container, ...]:
        """See what is there, and tell."""
        self._tracker.note_ended(self._now())
        found = await self._runtime.observe(self.deployment)
        if found:
            self._memory.note_heard()
        self._tracker.look(intent, found, self._now())
        view = self._tracker.view(found, self._now())
        is_sayable = not self._bugs and reporting.is_certain(view)
        if is_sayable and (report := self._say(intent, view)):
            self._key.tell(report)
        return found

    def _say(self, intent: intents.Intent, view: reporting.View) -> Report | None:
        if isinstance(intent, intents.Withdraw):
            return reporting.withdrawal(view, self._key.report)
        return reporting.report(intent, view)

    async def _may_act(self, intent: intents.Intent, found: tuple[Container, ...]) -> bool:
        """
        Before the first container is made, the hub has heard of the deployment.

        Before one is touched, a restart would know why.
        """
        is_first = not found and not isinstance(intent, intents.Withdraw)
        if is_first and not self._key.is_heard:
            await self._unless_newer(self._key.heard())
        if is_first and self._key.is_heard:
            # Also where it was heard before it was withdrawn, and wanted anew.
            self._memory.note_heard()
        journal = self._journal
        if journal and not self._newer.is_set() and not journal.is_settled(self.deployment):
            await self._unless_newer(journal.settled(self.deployment))
        return not self._newer.is_set()

    async def _is_withdrawn(self, intent: intents.Intent, found: tuple[Container, ...]) -> bool:
        if not isinstance(intent, intents.Withdraw) or found:
            return False
        await self._runtime.release(self.deployment)
        if self.intent is intent:
            self._key.withdraw()
        return True

    def _note_unavailable(self, intent: intents.Intent, error: errors.FleetError) -> None:
        self._unavailable += 1
        if self._unavailable == 1:
            # Logged as a warning once for the device, by `hub.device_info`.
            self._log.debug("runtime unavailable", error=str(error))
        if not isinstance(intent, intents.Withdraw):
            self._key.tell(reporting.unavailable(intent, error, self._key.report))

    def _note_bug(self, intent: intents.Intent, failure: Failure) -> None:
        self._bugs = failure.streak
        if not isinstance(intent, intents.Withdraw):
            self._key.tell(reporting.internal_error(intent, failure.message, self._key.report))

    def _pause(self) -> float:
        """Give the time until the next look that nobody asked for."""
        if self._bugs:
            return backoff.RETRYABLE.delay(self._bugs, self._random)
        if self._unavailable:
            return backoff.EAGER.delay(self._unavailable, self._random)
        resync = self._rhythm.next_look(self._random)
        now = self._now()
        due = self._tracker.next_look(now)
        return resync if due is None else min(resync, due - now)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                # What a bug follows upon may itself wake us: only newer intent cuts its backoff.
                await (self._newer if self._bugs else self._woken).wait()
        except TimeoutError:
            pass

    async def _unless_newer(self, awaited: Coroutine[None, None, None]) -> bool:
        """Wait for *awaited*; False when newer intent came first."""
        waiting = asyncio.create_task(awaited)
        newer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._interruptions.add(newer)
        try:
            if not self._newer.is_set():
                await asyncio.wait((waiting, newer), return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                containment.result(waiting)  # raises what it failed by
            return not self._newer.is_set()
        finally:
            self._interruptions.discard(newer)
            waiting.cancel()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
