"""
Posts Events for people, in its own time: nothing waits for one, and nothing depends on one.

What may be posted is decided by `event_correlator`. Of one series only the latest waits,
so what waits is bounded; what can't be posted is tried again, and then left out.
"""

from typing import Final

from fleet import errors
from fleet.operator.clock import Clock
from fleet.operator.decisions.event_correlator import Correlator, Key, Post
from fleet.operator.decisions.events import Event
from fleet.operator.ports import Cluster, Counter
from fleet.operator.writers.work_queue import Pace, WorkQueue
from fleet.supervision.failures import Failures

QUEUE: Final = "events"
PACE: Final = Pace(workers=2, longest_retry=30.0)
MOST_WAITING: Final = 500


class EventRecorder:
    """The one way to tell people something. `queue` does the posting."""

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        counter: Counter,
        pace: Pace = PACE,
        *,
        failures: Failures | None = None,
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._counter = counter
        self._correlator = Correlator()
        self._waiting: dict[Key, Post] = {}
        self.queue: WorkQueue[Key] = WorkQueue(QUEUE, self._work, pace, counter, failures=failures)

    def post(self, event: Event) -> None:
        """Have *event* posted, if there is room for it; never waits."""
        post = self._correlator.take(event, self._clock.now())
        if post is None:
            self._counter.event("left out")
        else:
            self._add(post)

    def catch_up(self) -> None:
        """Have what was left out summed up, as far as there is room by now."""
        for post in self._correlator.catch_up(self._clock.now()):
            self._add(post)

    def _add(self, post: Post) -> None:
        if post.key not in self._waiting and len(self._waiting) >= MOST_WAITING:
            self._counter.event("lost")
            return
        self._waiting[post.key] = post
        self.queue.add((post.key,))

    async def _work(self, key: Key) -> None:
        post = self._waiting.get(key)
        if post is None:
            return
        try:
            await self._cluster.post_event(post)
        except errors.PermanentError:
            self._forget(key, post)
            self._counter.event("lost")
            raise
        self._forget(key, post)
        self._counter.event("posted")

    def _forget(self, key: Key, post: Post) -> None:
        if self._waiting.get(key) is post:
            del self._waiting[key]
