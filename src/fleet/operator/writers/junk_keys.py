"""Sweeps what a device wrote under its id that nobody has a use for, so that no bucket fills."""

from typing import Any, Final

import structlog

from fleet.bus.port import Bucket, Bus
from fleet.contracts import kv, messages
from fleet.operator.decisions import junk_keys
from fleet.operator.decisions.junk_keys import JunkKey
from fleet.operator.ports import Counter
from fleet.operator.writers.work_queue import Pace, WorkQueue
from fleet.supervision.failures import Failures

log = structlog.get_logger()

PACE: Final = Pace(workers=4, longest_retry=30.0)
MOST_WAITING: Final = 10_000  # what is left is found again at the next resync


class JunkKeySweeper:
    """Purges junk, at its own pace: `queue` does it."""

    def __init__(
        self,
        bus: Bus,
        counter: Counter,
        pace: Pace = PACE,
        *,
        failures: Failures | None = None,
    ) -> None:
        self._counter = counter
        self._buckets: dict[str, Bucket[Any]] = {
            kv.BUCKET_DEVICE_INFO: bus.bucket(messages.DEVICE_INFO),
            kv.BUCKET_DEVICE_STATE: bus.bucket(messages.DEVICE_STATE),
            kv.BUCKET_DEVICE_HEARTBEAT: bus.bucket(messages.DEVICE_HEARTBEAT),
        }
        self.queue: WorkQueue[JunkKey] = WorkQueue(
            "junk keys", self._sweep, pace, counter, failures=failures
        )

    def add(self, junk: JunkKey) -> None:
        """Have *junk* swept, if it is under a device's id and there is room."""
        if len(self.queue) < MOST_WAITING and junk_keys.purge_filter(junk) is not None:
            self.queue.add((junk,))

    async def _sweep(self, junk: JunkKey) -> None:
        key_filter = junk_keys.purge_filter(junk)
        if key_filter is None:
            return
        await self._buckets[junk.bucket].purge(key_filter, last=junk.revision)
        self._counter.swept(junk.bucket)
        log.debug("junk swept", bucket=junk.bucket, keys=key_filter)
