"""
The one writer of a deployment's status, and the one that lets go of a deleted deployment.

Statuses are coalesced by the queue that this works for: however many events
came, one patch per resource at most about once a second, and none where the
status stands already. Counts wait for that; what turns a condition is news,
which a person waits for: the beginning of a roll-out, its end, a failure.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import structlog

from fleet.contracts.resources import DEPLOYMENT_PLURAL
from fleet.operator.clock import Clock
from fleet.operator.decisions import deployment_status, events, finalizers
from fleet.operator.decisions.deployment_status import Situation
from fleet.operator.model import custom_resources
from fleet.operator.model.aggregation import Standing
from fleet.operator.model.conditions import stands
from fleet.operator.model.custom_resources import Deployment
from fleet.operator.model.ending import Ending
from fleet.operator.model.store import Store
from fleet.operator.ports import Cluster, Counter
from fleet.operator.writers.event_recorder import EventRecorder
from fleet.operator.writers.pending_deletions import PendingDeletions
from fleet.operator.writers.work_queue import Pace

log = structlog.get_logger()

# The status of one deployment is written about once a second. A roll-out begins and ends with
# news, and may go wrong in between; then comes the next one.
PACE: Final = Pace(workers=10, spacing=1.0, burst=4)

Outlook: TypeAlias = tuple[int, frozenset[Standing]]


class StatusWriter:
    """Writes what `status` builds, and answers who waits for a release."""

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        recorder: EventRecorder,
        *,
        clock: Clock,
        counter: Counter,
        written: Callable[[Deployment], None],
        definitions_stand: Callable[[Ending], Awaitable[bool]],
    ) -> None:
        self._definitions_stand = definitions_stand
        self._store = store
        self._cluster = cluster
        self._recorder = recorder
        self._clock = clock
        self._counter = counter
        self._written = written
        self._told: dict[str, Outlook] = {}
        self.pending_deletions = PendingDeletions()

    def is_news(self, uid: str) -> bool:
        """Tell whether what changed since the last look would turn a condition, or is the end."""
        deployment = self._store.deployments.get(uid)
        if deployment is None or deployment.deleting_since is not None:
            return True
        return self._told.get(uid) != self._outlook(deployment)

    async def work(self, uid: str) -> None:
        """Bring one deployment's status, or its end, about."""
        deployment = self._store.deployments.get(uid)
        if deployment is None:
            self._told.pop(uid, None)
            self.pending_deletions.grant(uid)
        elif deployment.deleting_since is not None:
            await self._try_release(deployment)
        elif deployment.has_finalizer:
            await self._write(deployment)

    async def _try_release(self, deployment: Deployment) -> None:
        if not self.pending_deletions.is_awaited(deployment.uid):
            return
        if not await self._definitions_stand(Ending(DEPLOYMENT_PLURAL, deployment.uid)):
            self.pending_deletions.grant(deployment.uid)
            log.warning("released, since its definition goes", deployment=deployment.name)
            return
        verdict = finalizers.judge(self._store, deployment, self._clock.now())
        if not verdict.released:
            return
        self.pending_deletions.grant(deployment.uid)
        log.info("deployment released", deployment=deployment.name, left=len(verdict.left))
        for event in events.of_released(deployment, verdict):
            self._recorder.post(event)

    async def _write(self, deployment: Deployment) -> None:
        refused = deployment_status.refusal(deployment, self._store.holder(deployment.name))
        situation = Situation(
            deployment, self._store.aggregate(deployment.uid), len(self._store.devices), refused
        )
        self._told[deployment.uid] = self._outlook(deployment)
        before = deployment.status
        wanted = deployment_status.build(situation, before, self._clock.now())
        if stands(wanted, before, deployment_status.OWN_CONDITIONS):
            return
        body = await self._cluster.apply_deployment_status(deployment, wanted)
        self._written(custom_resources.parse_deployment(body))
        self._counter.wrote("deployment status")
        for event in events.of_deployment(deployment, situation.aggregate, before, wanted):
            self._recorder.post(event)

    def _outlook(self, deployment: Deployment) -> Outlook:
        return deployment.generation, self._store.outlook(deployment.uid)
