"""
All deployments of this device: the one place where intent comes in.

A deployment gets its loop when the hub, or a container found on the device,
first speaks of it. What one loop does, waits for or fails by concerns no other.
Whatever comes in is journalled.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

import structlog

from fleet import errors
from fleet.agent.deployments import loop as loop_module
from fleet.agent.deployments.loop import Loop
from fleet.agent.journal.journal import Journal
from fleet.agent.model import backoff, intents
from fleet.agent.model.reports import Report
from fleet.agent.runtimes.port import Runtime
from fleet.contracts.names import DeploymentName
from fleet.supervision.supervisor import Supervisor

log = structlog.get_logger(__name__)

LOOP = "deployment loop"

# A stream of events that stood for so long makes good for those that broke off before.
_STOOD_SECONDS = 10.0

MakeLoop = Callable[[DeploymentName, intents.Intent], Loop]


class Dispatcher:
    """
    The loops. *make_loop* makes one; it runs until its deployment is withdrawn.

    They are tasks of *supervisor*. One that fails is made anew, with the intent of then.
    """

    def __init__(
        self,
        runtime: Runtime,
        journal: Journal,
        make_loop: MakeLoop,
        random: backoff.Random,
        supervisor: Supervisor,
    ) -> None:
        self._supervisor = supervisor
        self._runtime = runtime
        self._journal = journal
        self._make_loop = make_loop
        self._random = random
        self._loops: dict[DeploymentName, Loop] = {}
        self._used: set[DeploymentName] = set()  # whose loop has been run
        self._withdrawn = 0  # how many loops ended

    def intent(self, deployment: DeploymentName) -> intents.Intent | None:
        """Tell what is to be done about *deployment*, as far as is known."""
        loop = self._loops.get(deployment)
        return loop.intent if loop is not None else None

    def known(self) -> dict[DeploymentName, tuple[intents.Intent, Report | None]]:
        """Map each deployment to what is to be done about it, and what was told of it last."""
        return {name: (loop.intent, loop.report) for name, loop in self._loops.items()}

    def recall(self, recalled: Mapping[DeploymentName, intents.Intent]) -> None:
        """Pursue what the journal says, and has the hub heard of."""
        for deployment, intent in recalled.items():
            with self._supervisor.failures.contained(loop_module.PART, deployment):
                was_heard = self._journal.was_heard(deployment)
                self.accept(deployment, intent)
                if was_heard:
                    self._loops[deployment].was_heard()

    def accept(self, deployment: DeploymentName, intent: intents.Intent) -> None:
        """Pursue *intent* from now on."""
        with self._supervisor.failures.contained("journal", deployment):
            self._journal.note(deployment, intent)
        loop = self._loops.get(deployment)
        if loop is not None:
            loop.intend(intent)
            return
        self._loops[deployment] = self._make_loop(deployment, intent)
        live = partial(self._live, deployment)
        self._supervisor.start(LOOP, live, key=deployment, may_end=True)

    def poke(self, deployment: DeploymentName | None) -> None:
        """Have *deployment*, or all, looked at again."""
        for loop in self._select(deployment):
            loop.poke()

    def repeat(self) -> tuple[Callable[[], None], ...]:
        """List what makes each loop tell its state once more; the caller spreads the calls."""
        return tuple(loop.repeat for loop in self._loops.values())

    def images(self) -> frozenset[str]:
        """List the references of the images that are wanted now, also for what is only kept."""
        pursued = (intents.pursued(loop.intent) for loop in self._loops.values())
        return frozenset(
            workload.service.image
            for intent in pursued
            if isinstance(intent, intents.Apply)
            for workload in intent.workloads
        )

    async def run(self) -> None:
        """Adopt what runs already, then pass changes on, until cancelled."""
        await self._adopt()
        await self._follow()

    async def _adopt(self) -> None:
        """Keep alive the containers found, also those whose desired state nobody told yet."""
        failures = 0
        while True:
            withdrawn = self._withdrawn
            try:
                found = await self._runtime.observe()
            except errors.RuntimeUnavailable as exc:
                failures += 1
                if failures == 1:
                    log.warning("waiting for the runtime", error=str(exc))
                await asyncio.sleep(backoff.EAGER.delay(failures, self._random))
            else:
                if withdrawn != self._withdrawn:
                    continue  # It may be of before a withdrawal that is complete by now.
                for deployment in sorted({container.deployment for container in found}):
                    if deployment not in self._loops:
                        self.accept(deployment, intents.Keep())
                return

    async def _follow(self) -> None:
        """Have looked at what changes. Each stream that begins wakes every loop: few do."""
        clock = asyncio.get_running_loop().time
        failures = 0
        while True:
            begun = clock()
            try:
                async for deployment in self._runtime.changes():
                    self.poke(deployment)
            except errors.RuntimeUnavailable as exc:
                log.debug("events broke off", error=str(exc))
            failures = 1 if clock() - begun >= _STOOD_SECONDS else failures + 1
            await asyncio.sleep(backoff.EAGER.delay(failures, self._random))

    def _select(self, deployment: DeploymentName | None) -> tuple[Loop, ...]:
        if deployment is None:
            return tuple(self._loops.values())
        loop = self._loops.get(deployment)
        return () if loop is None else (loop,)

    async def _live(self, deployment: DeploymentName) -> None:
        """Run a loop until its deployment is withdrawn; in place of one that failed, another."""
        if deployment in self._used:
            self._loops[deployment] = self._make_loop(deployment, self._loops[deployment].intent)
        self._used.add(deployment)
        await self._loops[deployment].run()
        self._used.discard(deployment)
        loop = self._loops.pop(deployment)
        self._withdrawn += 1
        if not isinstance(loop.intent, intents.Withdraw):
            # Intent that came in while the loop was ending.
            self.accept(deployment, loop.intent)
            return
        with self._supervisor.failures.contained("journal", deployment):
            self._journal.forget(deployment)
