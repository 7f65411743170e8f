"""
Withdrawals that follow from labels and a selector alone: both are read again before.

What a watch tells may have been overtaken: after a pause it tells of labels that have long been
put back, and nothing may be withdrawn for that. Keys that ask at the same time are answered at the
same time: a selector that leaves two thousand devices is one list, and not four thousand reads.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Final, TypeAlias

from fleet.contracts.names import DeviceId
from fleet.operator.model.custom_resources import Deployment
from fleet.operator.model.matching.index import Pair
from fleet.operator.ports import Counter, Found
from fleet.operator.time_slice import TimeSlice
from fleet.operator.writers.work_queue import Pace, WorkQueue
from fleet.supervision.failures import Failures

PACE: Final = Pace(workers=1, longest_retry=5.0)
LULL_SECONDS: Final = 0.02
MOST_LULLS: Final = 25


LookAgain: TypeAlias = Callable[[Collection[DeviceId], Collection[Deployment]], Awaitable[Found]]


class Withdrawals:
    """The keys that wait to be withdrawn. *again* has keys looked at that were answered."""

    def __init__(
        self,
        look_again: LookAgain,
        again: Callable[[Iterable[Pair]], None],
        counter: Counter,
        *,
        failures: Failures | None = None,
        time_slice: TimeSlice | None = None,
    ) -> None:
        self._look_again = look_again
        self._again = again
        self._asked: dict[Pair, Deployment] = {}
        self._confirmed: set[Pair] = set()
        self.queue: WorkQueue[str] = WorkQueue(
            "withdrawals", self._work, PACE, counter, failures=failures, time_slice=time_slice
        )

    def take(self, pair: Pair) -> bool:
        """Tell whether both were read again since *pair* asked; it counts for one pass."""
        confirmed = pair in self._confirmed
        self._confirmed.discard(pair)
        return confirmed

    def ask(self, pair: Pair, owner: Deployment) -> None:
        """Have the device, and the owner of its value, read again."""
        self._asked[pair] = owner
        self.queue.add((self.queue.name,))

    async def answer(self) -> None:
        """
        Read again what was asked for until now. What is gone is left to the watch to tell.

        :raises errors.ClusterUnavailable: the API server didn't answer; all ask on.
        """
        asked = dict(self._asked)
        owners = {owner.uid: owner for owner in asked.values()}
        found = await self._look_again({pair.device for pair in asked}, owners.values())
        for pair, owner in asked.items():
            if self._asked.get(pair) is owner:
                del self._asked[pair]
            if pair.device in found.devices and owner.uid in found.deployments:
                self._confirmed.add(pair)
        self._again(asked.keys() & self._confirmed)

    async def _work(self, _: str) -> None:
        await self._lull()
        if self._asked:
            await self.answer()

    async def _lull(self) -> None:
        """Wait until no more keys ask, for a while."""
        before = 0
        for _ in range(MOST_LULLS):
            if len(self._asked) <= before:
                return
            before = len(self._asked)
            await asyncio.sleep(LULL_SECONDS)
