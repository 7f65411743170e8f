"""
Show that the device is alive, and notice a twin.

Each beat is put over the sequence of our own last one. Where another agent
writes under the same id, both find theirs overtaken again and again. Once may
also be an acknowledgement that got lost, or a bucket made anew; so a twin is
only called one after several such beats in a row. The agent may not read the
bucket: it writes on, unconditionally once, and goes by that sequence.

A device may have been out of reach, and taken for gone, though its connection
stood all the while: TCP bears a pulled cable for minutes. So whoever is heard
again within one session says everything again, as after a new connection.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog

from fleet import errors
from fleet.agent.model import backoff
from fleet.agent.model.problems import Problems
from fleet.bus.port import Bucket
from fleet.contracts import kv, messages
from fleet.contracts.names import DeviceId

log = structlog.get_logger(__name__)

_JITTER = 0.1
_CONFLICTS_THAT_TELL = 2
# A twin that left is forgotten after six intervals.
_QUIET_BEATS = 6


class Heartbeat:
    """
    The beats of one agent process, each *interval* seconds.

    *on_again* is called when one is heard again in a session.
    """

    def __init__(
        self,
        device_id: DeviceId,
        instance: str,
        bucket: Bucket[messages.HeartbeatPayload],
        problems: Problems,
        *,
        session: Callable[[], int],
        on_again: Callable[[], None],
        now: Callable[[], datetime],
        random: backoff.Random,
        interval: float,
    ) -> None:
        self._session = session
        self._on_again = on_again
        self._device_id = device_id
        self._instance = instance
        self._bucket = bucket
        self._problems = problems
        self._now = now
        self._random = random
        self._interval = interval
        self._last: int | None = None
        self._conflicts = 0
        self._quiet = 0
        self._failures = 0
        self._failed_in = 0

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await self._beat()
            await asyncio.sleep(self._pause())

    async def _beat(self) -> None:
        try:
            await self._put()
        except errors.RetryableError as exc:
            # Whether it was stored is unknown, and so is the sequence to go by.
            self._last = None
            self._failures += 1
            if self._failures == 1:
                self._failed_in = self._session()
                log.warning("heartbeat not heard", reason=exc.reason, error=str(exc))
        else:
            self._note_heard()

    def _pause(self) -> float:
        """Give the time until the next beat: soon after one that wasn't heard."""
        if self._failures:
            soon = backoff.EAGER.delay(self._failures, self._random)
            return min(self._interval, soon)
        return self._interval * (1 - _JITTER + 2 * _JITTER * self._random())

    async def _put(self) -> None:
        key = kv.device_heartbeat_key(self._device_id)
        beat = messages.HeartbeatPayload(
            device_id=self._device_id, at=self._now(), instance=self._instance
        )
        try:
            self._last = await self._bucket.put(key, beat, last=self._last)
        except errors.RevisionConflict:
            self._note_conflict()
            self._last = await self._bucket.put(key, beat)
        else:
            self._note_quiet()

    def _note_heard(self) -> None:
        was_away, self._failures = self._failures > 0, 0
        if was_away and self._session() == self._failed_in:
            log.info("heard again")
            self._on_again()

    def _note_conflict(self) -> None:
        self._conflicts, self._quiet = self._conflicts + 1, 0
        if self._conflicts >= _CONFLICTS_THAT_TELL:
            message = f"another agent calls itself {self._device_id} too"
            self._problems.set(messages.DUPLICATE_AGENT, message)

    def _note_quiet(self) -> None:
        self._quiet += 1
        if self._quiet >= _QUIET_BEATS:
            self._conflicts = 0
            self._problems.clear(messages.DUPLICATE_AGENT)
