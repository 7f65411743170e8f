"""
The one writer of a deployment's status, and the one that lets go of a deleted deployment.

Statuses are coalesced by the queue that this works for: however many events
came, one patch per resource at most about once a second, and none where the
status stands already. Counts wait for that; what turns a condition is news,
which a person waits for: the beginning of a roll-out, its end, a failure.
"""

from collections.abc import Callable
from typing import TypeAlias

import structlog

from fleet.operator import events, objects, release, status
from fleet.operator.aggregation import Standing
from fleet.operator.clock import Clock
from fleet.operator.leaving import Farewells
from fleet.operator.objects import Deployment
from fleet.operator.ports import Cluster, Counter
from fleet.operator.posting import Poster
from fleet.operator.status import Situation
from fleet.operator.world import World

log = structlog.get_logger()

Outlook: TypeAlias = tuple[int, frozenset[Standing]]


class StatusWriter:
    """Writes what `status` builds, and answers who waits for a release."""

    def __init__(
        self,
        world: World,
        cluster: Cluster,
        poster: Poster,
        *,
        clock: Clock,
        counter: Counter,
        written: Callable[[Deployment], None],
    ) -> None:
        self._world = world
        self._cluster = cluster
        self._poster = poster
        self._clock = clock
        self._counter = counter
        self._written = written
        self._told: dict[str, Outlook] = {}
        self.farewells = Farewells()

    def is_news(self, uid: str) -> bool:
        """Tell whether what changed since the last look would turn a condition, or is the end."""
        deployment = self._world.deployments.get(uid)
        if deployment is None or deployment.deleting_since is not None:
            return True
        return self._told.get(uid) != self._outlook(deployment)

    async def work(self, uid: str) -> None:
        """Bring one deployment's status, or its end, about."""
        deployment = self._world.deployments.get(uid)
        if deployment is None:
            self._told.pop(uid, None)
            self.farewells.grant(uid)
        elif deployment.deleting_since is not None:
            await self._try_release(deployment)
        elif deployment.has_finalizer:
            await self._write(deployment)

    async def _try_release(self, deployment: Deployment) -> None:
        if not self.farewells.is_awaited(deployment.uid):
            return
        verdict = release.judge(self._world, deployment, self._clock.now())
        if not verdict.released:
            return
        self.farewells.grant(deployment.uid)
        log.info("deployment released", deployment=deployment.name, left=len(verdict.left))
        for event in events.of_released(deployment, verdict):
            self._poster.post(event)

    async def _write(self, deployment: Deployment) -> None:
        refused = status.refusal(deployment, self._world.holder(deployment.name))
        situation = Situation(
            deployment, self._world.aggregate(deployment.uid), len(self._world.devices), refused
        )
        self._told[deployment.uid] = self._outlook(deployment)
        before = deployment.status
        wanted = status.build(situation, before, self._clock.now())
        if wanted == before:
            return
        body = await self._cluster.apply_deployment_status(deployment, wanted)
        self._written(objects.parse_deployment(body))
        self._counter.wrote("deployment status")
        for event in events.of_deployment(deployment, situation.aggregate, before, wanted):
            self._poster.post(event)

    def _outlook(self, deployment: Deployment) -> Outlook:
        return deployment.generation, self._world.outlook(deployment.uid)
