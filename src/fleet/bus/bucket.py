"""
One bucket over NATS: reads, compare-and-set writes, and watches that never resume.

Everything is asked for by subject, so the same code works for an agent that is
confined to its own keys and for the operator.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar

import structlog

from fleet import errors
from fleet.bus import jetstream
from fleet.bus.overwriting import Overwriting
from fleet.bus.port import Entry, Event, Synced
from fleet.bus.reading import Reader
from fleet.bus.session import Inbox, Session
from fleet.contracts.messages import Codec, Message

log = structlog.get_logger()
M = TypeVar("M", bound=Message)


class Link(Protocol):
    """What a bucket needs of the bus."""

    @property
    def name(self) -> str: ...
    @property
    def heartbeat(self) -> timedelta: ...
    @property
    def patience(self) -> timedelta: ...
    @property
    def replaying(self) -> asyncio.Lock: ...
    def require(self) -> Session: ...
    async def wait_for_session(self, after: int = 0) -> int: ...
    async def pause(self, failures: int) -> None: ...
    async def spread(self, starts: int) -> None: ...
    async def ask(self, subject: str, payload: bytes = b"") -> dict[str, Any]: ...


class NatsBucket(Generic[M]):
    """`port.Bucket` over one stream."""

    def __init__(self, codec: Codec[M], link: Link) -> None:
        self._codec = codec
        self._link = link
        self._reader = Reader(codec)
        self._overwriting = Overwriting(link.patience)

    @property
    def name(self) -> str:
        """The bucket's name."""
        return self._codec.bucket

    @property
    def undecodable(self) -> int:
        """How many values so far weren't messages of this bucket."""
        return self._reader.undecodable

    async def get(self, key: str) -> Entry[M] | None:
        """Read what stands at *key*: its last entry, or None where there is none."""
        subject = jetstream.get_subject(self.name, key)
        delivery = await self._link.require().request(subject)
        if jetstream.is_empty(delivery):
            return None
        self._check_answered(delivery)
        return self._entry(jetstream.read_stored(self.name, delivery))

    async def put(self, key: str, value: M, *, last: int | None = None) -> int:
        """Write *value*, and return its revision; with *last* only over that one."""
        self._codec.check_key(key)
        data = jetstream.checked_size(self.name, key, self._codec.encode(value))
        return await self._write(key, data, {}, last)

    async def delete(
        self, key: str, *, last: int | None = None, ttl: timedelta | None = None
    ) -> int:
        """Write a delete marker, and return its revision."""
        headers = {jetstream.OPERATION: jetstream.DELETE}
        if ttl is not None:
            headers[jetstream.TTL] = jetstream.ttl(ttl)
        return await self._write(key, b"", headers, last)

    async def purge(self, key_filter: str, *, last: int | None = None) -> None:
        """Remove every trace of the keys that match; with *last* only up to that revision."""
        body = jetstream.purge(self.name, key_filter, last)
        await self._link.ask(jetstream.stream_subject("PURGE", self.name), body)

    async def watch(self, key_filter: str = ">") -> AsyncGenerator[Event[M], None]:
        """Replay, then follow; each time that the place is lost, replay again."""
        starts = failures = 0
        missing = False
        while True:
            await self._link.wait_for_session()
            await self._link.spread(starts)
            try:
                async with aclosing(self._follow(key_filter)) as events:
                    async for event in events:
                        failures, missing = 0, False
                        yield event
            except jetstream.BucketMissing:
                self._log_missing(already_said=missing)
                missing = True
            except errors.BusUnavailable as exc:
                log.info("watch starts over", bucket=self.name, keys=key_filter, error=str(exc))
                starts += 1
            failures += 1
            await self._link.pause(failures)

    async def _follow(self, key_filter: str) -> AsyncGenerator[Event[M], None]:
        """
        Replay and follow within one session, until the place is lost.

        Replays take turns: together they would be more than the server holds for one connection.
        """
        async with AsyncExitStack() as turn:
            await turn.enter_async_context(self._link.replaying)
            current = self._link.require()
            subscription = current.subscribe()
            inbox = subscription.inbox
            try:
                pending = await self._create_consumer(current, inbox.subject, key_filter)
                async with aclosing(self._read(current, inbox, pending)) as events:
                    async for event in events:
                        if isinstance(event, Synced):
                            await turn.aclose()
                        yield event
            finally:
                subscription.close()

    async def _create_consumer(self, current: Session, deliver_to: str, key_filter: str) -> int:
        """Start the replay, and return how many messages it has."""
        name = jetstream.consumer_name(self._link.name, secrets.token_hex(8))
        delivery = await current.request(
            jetstream.consumer_subject(self.name, name, key_filter),
            jetstream.consumer(
                self.name,
                name,
                key_filter,
                deliver_to=deliver_to,
                heartbeat=self._link.heartbeat,
            ),
        )
        self._check_answered(delivery)
        reply = jetstream.read_reply(delivery.data)
        return jetstream.pending(reply)

    async def _read(
        self, current: Session, inbox: Inbox, pending: int
    ) -> AsyncGenerator[Event[M], None]:
        """Turn what arrives into events, and notice a gap."""
        silence = 2.5 * self._link.heartbeat.total_seconds()
        place = 0
        replayed: set[str] | None = set()
        if pending == 0:
            yield Synced()
            replayed = None
        while True:
            match jetstream.read_arrival(self.name, await inbox.next(seconds=silence)):
                case jetstream.Delivered() as arrived:
                    place = _next_place(place, arrived.place)
                    yield self._entry(arrived.stored)
                    if replayed is not None:
                        replayed.add(arrived.stored.key)
                        pending = arrived.pending
                case jetstream.Beat() as beat:
                    _check_place(place, beat.place)
                    if beat.stalled:
                        await current.tell(beat.stalled)
                    else:  # idle: whatever the counts say, nothing more is to come
                        pending = 0
                case jetstream.FlowControl(reply):
                    await current.tell(reply)
                case jetstream.Ended(description):
                    raise errors.BusUnavailable(f"the server ended the consumer: {description}")
            if replayed is not None and pending == 0:
                yield Synced(frozenset(replayed))
                replayed = None

    async def _write(
        self, key: str, data: bytes, headers: Mapping[str, str], last: int | None
    ) -> int:
        async def write(expected: int) -> int:
            return await self._write_over(
                key, data, {**headers, jetstream.EXPECTED_LAST: str(expected)}
            )

        return await (write(last) if last is not None else self._overwriting.write(key, write))

    async def _write_over(self, key: str, data: bytes, headers: dict[str, str]) -> int:
        subject = jetstream.subject(self.name, key)
        delivery = await self._link.require().request(subject, data, headers)
        self._check_answered(delivery)
        try:
            reply = jetstream.read_reply(delivery.data)
        except errors.RevisionConflict as exc:
            raise errors.RevisionConflict(
                f"{self.name}/{key}: {exc}", element=key, found=exc.found
            ) from exc
        except errors.BucketFull as exc:
            raise errors.BucketFull(f"{self.name}/{key}: {exc}", element=key) from exc
        return jetstream.revision(reply)

    def _entry(self, stored: jetstream.Stored) -> Entry[M]:
        return self._reader.entry(stored.key, stored.data, revision=stored.sequence, at=stored.at)

    def _check_answered(self, delivery: jetstream.Delivery) -> None:
        if jetstream.is_missing(delivery):
            raise jetstream.BucketMissing(f"no bucket {self.name!r}", element=self.name)

    def _log_missing(self, *, already_said: bool) -> None:
        if not already_said:
            log.warning("bucket missing", bucket=self.name, action="waiting for it")


def _next_place(place: int, arrived: int) -> int:
    if arrived != place + 1:
        raise errors.BusUnavailable(f"a gap: delivery {arrived} came after {place}")
    return arrived


def _check_place(place: int, sent: int) -> None:
    if sent != place:
        raise errors.BusUnavailable(f"a gap: {sent} deliveries were sent, {place} came")
