"""
Keeps the streams behind the buckets, and watches how full they are.

A full bucket takes no write, not even a delete marker, so the alarm comes
well before: as a metric, and as a warning in the log. The operator stays ready.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import structlog

from fleet import errors
from fleet.bus import streams
from fleet.bus.nats import NatsBus
from fleet.bus.streams import Sizing, Usage
from fleet.operator.ports import Counter

log = structlog.get_logger()

# Of taste: a fleet that doubles overnight is noticed before it is too late.
ALARM_SHARE: Final = 0.5
EVERY: Final = timedelta(minutes=1)
RETRY_SECONDS: Final = 1.0


class Alarm:
    """Says once that a bucket fills, and once that it doesn't any more."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._filling: set[str] = set()

    def take(self, found: Mapping[str, Usage]) -> None:
        """Take note of how full the buckets are."""
        for bucket, usage in found.items():
            self._counter.stored(bucket, usage.bytes, usage.max_bytes)
            self._judge(bucket, usage)

    def _judge(self, bucket: str, usage: Usage) -> None:
        filling = usage.share >= ALARM_SHARE
        if filling is (bucket in self._filling):
            return
        if filling:
            self._filling.add(bucket)
            log.warning(
                "bucket filling",
                bucket=bucket,
                bytes=usage.bytes,
                max_bytes=usage.max_bytes,
                action="raise --max-bytes, or remove keys",
            )
        else:
            self._filling.discard(bucket)
            log.info("bucket has room again", bucket=bucket, bytes=usage.bytes)


async def keep(bus: NatsBus, sizing: Sizing, alarm: Alarm, *, every: timedelta = EVERY) -> None:
    """Make the streams, put them right with each session and now and then, for ever."""
    while True:
        session = await bus.wait_for_session()
        try:
            await streams.ensure_streams(bus, sizing)
            alarm.take(await streams.usage(bus))
        except errors.FleetError as exc:
            log.warning("streams not ensured", reason=exc.reason, error=str(exc))
            await asyncio.sleep(RETRY_SECONDS)
            continue
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(every.total_seconds()):
                await bus.wait_for_session(after=session)
