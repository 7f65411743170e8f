"""
The bus in memory, for tests and simulations: the same port, no server.

It holds bytes, like the real one, and refuses what the real one refuses: keys
of another bucket, values too large, a lost comparison, a bucket that isn't
there, a user's missing permission, any use without a connection. One contract
suite runs over both.

`MemoryServer` is what stands on the other side: stop it, freeze it, wipe it, cut
a single `MemoryBus` off, or lose its answers to what it stores.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Self, TypeVar

from fleet import errors
from fleet.bus import jetstream
from fleet.bus.port import Entry, Event, Synced
from fleet.bus.reading import Reader
from fleet.bus.sessions import Sessions
from fleet.contracts import kv
from fleet.contracts.messages import Codec, Message
from fleet.contracts.permissions import Permissions

M = TypeVar("M", bound=Message)
Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Stored:
    key: str
    data: bytes | None
    revision: int
    at: datetime
    expires: datetime | None = None


class _Stream:
    """What one bucket holds, and who watches it."""

    def __init__(self, bucket: str, clock: Clock) -> None:
        self._bucket = bucket
        self._clock = clock
        self._sequence = 0
        self._last: dict[str, _Stored] = {}
        self._watches: list[tuple[str, asyncio.Queue[_Stored | None]]] = []

    def last(self, key: str) -> _Stored | None:
        stored = self._last.get(key)
        if stored and stored.expires and stored.expires <= self._clock():
            del self._last[key]
            return None
        return stored

    def write(
        self, key: str, data: bytes | None, *, last: int | None, ttl: timedelta | None = None
    ) -> int:
        found = self.last(key)
        revision = found.revision if found else 0
        if last is not None and last != revision:
            raise errors.RevisionConflict(
                f"{self._bucket}/{key}: wrong last sequence: {revision}",
                element=key,
                found=revision,
            )
        self._sequence += 1
        at = self._clock()
        stored = _Stored(key, data, self._sequence, at, at + ttl if ttl else None)
        self._last[key] = stored
        for key_filter, queue in self._watches:
            if matches(key_filter, key):
                queue.put_nowait(stored)
        return self._sequence

    def purge(self, key_filter: str, last: int | None) -> None:
        for key, stored in list(self._last.items()):
            if matches(key_filter, key) and (last is None or stored.revision <= last):
                del self._last[key]

    def replay(self, key_filter: str) -> list[_Stored]:
        found = [self.last(key) for key in list(self._last) if matches(key_filter, key)]
        return sorted((s for s in found if s), key=lambda stored: stored.revision)

    def follow(self, key_filter: str) -> asyncio.Queue[_Stored | None]:
        queue: asyncio.Queue[_Stored | None] = asyncio.Queue()
        self._watches.append((key_filter, queue))
        return queue

    def release(self, queue: asyncio.Queue[_Stored | None]) -> None:
        self._watches = [watch for watch in self._watches if watch[1] is not queue]

    def end_watches(self) -> None:
        for _, queue in self._watches:
            queue.put_nowait(None)
        self._watches = []


class MemoryServer:
    """The far side: four buckets and a clock. *with_buckets* says whether they are made already."""

    def __init__(self, *, clock: Clock = _now, with_buckets: bool = True) -> None:
        self.clock = clock
        self.running = True
        self.frozen = False
        self._streams: dict[str, _Stream] = {}
        self.buses: list[MemoryBus] = []
        if with_buckets:
            self.make_buckets()

    def connect(self, permissions: Permissions | None = None) -> "MemoryBus":
        """Connect someone; without *permissions* everything is allowed."""
        bus = MemoryBus(self, permissions)
        self.buses.append(bus)
        bus.reconnect()
        return bus

    def make_buckets(self) -> None:
        """Make those that aren't there."""
        for bucket in kv.BUCKETS:
            self._streams.setdefault(bucket, _Stream(bucket, self.clock))

    def drop_buckets(self) -> None:
        """Lose every bucket and what it held."""
        for stream in self._streams.values():
            stream.end_watches()
        self._streams.clear()

    def stop(self) -> None:
        """Go down; everybody is disconnected."""
        self.running = False
        for bus in self.buses:
            bus.lose_session()

    def start(self) -> None:
        """Come back, with what was stored; everybody connects again."""
        self.running = True
        for bus in self.buses:
            bus.reconnect()

    def freeze(self) -> None:
        """Stop to answer; connections stand."""
        self.frozen = True
        for bus in self.buses:
            bus.note_silence()

    def thaw(self) -> None:
        """Answer again."""
        self.frozen = False
        for bus in self.buses:
            bus.reconnect()

    def write_raw(self, bucket: str, key: str, data: bytes) -> int:
        """Write any bytes at any key, as a stranger might."""
        return self.stream(bucket).write(key, data, last=None)

    def stream(self, bucket: str) -> _Stream:
        """
        Reach a bucket.

        :raises jetstream.BucketMissing: it isn't there.
        """
        if bucket not in self._streams:
            raise jetstream.BucketMissing(f"no bucket {bucket!r}", element=bucket)
        return self._streams[bucket]

    def disconnect(self, bus: "MemoryBus") -> None:
        """Forget *bus* for good."""
        self.buses = [other for other in self.buses if other is not bus]


class MemoryBus(Sessions):
    """`port.Bus` in memory. Make it with `MemoryServer.connect`."""

    def __init__(self, server: MemoryServer, permissions: Permissions | None) -> None:
        super().__init__()
        self.server = server
        self._permissions = permissions
        self._cut = False
        self._lost_answers = 0
        self._heard_at = 0.0
        self._buckets: dict[str, MemoryBucket[Any]] = {}
        self._watches: list[asyncio.Queue[_Stored | None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def wait_for_buckets(self) -> None:
        """Let others run before a watch asks again for a bucket that isn't there."""
        await asyncio.sleep(0.01)

    def bucket(self, codec: Codec[M]) -> "MemoryBucket[M]":
        """Reach the bucket that *codec* speaks of: always the same one."""
        if codec.bucket not in self._buckets:
            self._buckets[codec.bucket] = MemoryBucket(codec, self)
        return self._buckets[codec.bucket]

    async def server_time(self) -> datetime:
        """Read the server's clock, UTC."""
        self.allow(jetstream.stream_subject("INFO", kv.BUCKET_DEVICE_HEARTBEAT))
        return self.server.clock()

    @property
    def unheard_for(self) -> float:
        """The seconds since the server was frozen; infinite without a session."""
        if not self.connected:
            return float("inf")
        now = asyncio.get_running_loop().time()
        return now - self._heard_at if self.server.frozen else 0.0

    def note_silence(self) -> None:
        """Hear nothing from now on."""
        self._heard_at = asyncio.get_running_loop().time()

    async def close(self) -> None:
        """End the session, and make no other."""
        self.lose_session()
        self.server.disconnect(self)

    def cut(self) -> None:
        """Unplug this one link until `mend`."""
        self._cut = True
        self.lose_session()

    def mend(self) -> None:
        """Plug it in again."""
        self._cut = False
        self.reconnect()

    def lose_answers(self, count: int = 1) -> None:
        """Have the next writes stored, and their answers lost."""
        self._lost_answers = count

    def answer(self, key: str, revision: int) -> int:
        """
        Hear that a write was stored.

        :raises errors.BusUnavailable: that is lost, and nobody here knows.
        """
        if self._lost_answers:
            self._lost_answers -= 1
            raise errors.BusUnavailable(f"no answer about {key}", element=key)
        return revision

    def lose_session(self) -> None:
        """Be disconnected."""
        if self.connected:
            self._turn(connected=False)
        for queue in self._watches:
            queue.put_nowait(None)

    def reconnect(self) -> None:
        """Begin a session, if the server and the link are there."""
        is_there = self.server.running and not self.server.frozen
        if is_there and not self._cut and not self.connected:
            self._turn(connected=True)

    def allow(self, subject: str) -> None:
        """
        Check that this user may publish to *subject* now.

        :raises errors.BusUnavailable: not connected.
        :raises errors.BusRefused: not permitted.
        """
        if not self.connected:
            raise errors.BusUnavailable("not connected")
        if self.server.frozen:
            raise errors.BusUnavailable(f"no answer to {subject}", element=subject)
        if self._permissions is None:
            return
        if not any(matches(allowed, subject) for allowed in self._permissions.publish):
            raise errors.BusRefused(f'permissions violation for publish to "{subject}"')

    def attach(self, queue: asyncio.Queue[_Stored | None]) -> None:
        """Tell *queue* when the session ends."""
        self._watches.append(queue)

    def detach(self, queue: asyncio.Queue[_Stored | None]) -> None:
        """Tell it no more."""
        self._watches = [other for other in self._watches if other is not queue]


class MemoryBucket(Generic[M]):
    """`port.Bucket` in memory."""

    def __init__(self, codec: Codec[M], bus: MemoryBus) -> None:
        self._codec = codec
        self._bus = bus
        self._reader = Reader(codec)

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
        await asyncio.sleep(0)
        self._bus.allow(jetstream.get_subject(self.name, key))
        stored = self._stream().last(key)
        return self._entry(stored) if stored else None

    async def put(self, key: str, value: M, *, last: int | None = None) -> int:
        """Write *value*, and return its revision; with *last* only over that one."""
        data = jetstream.checked_size(self.name, key, self._codec.encode(value))
        self._codec.check_key(key)
        await self._allow_write(key)
        return self._bus.answer(key, self._stream().write(key, data, last=last))

    async def delete(
        self, key: str, *, last: int | None = None, ttl: timedelta | None = None
    ) -> int:
        """Write a delete marker, and return its revision."""
        await self._allow_write(key)
        return self._bus.answer(key, self._stream().write(key, None, last=last, ttl=ttl))

    async def purge(self, key_filter: str, *, last: int | None = None) -> None:
        """Remove every trace of the keys that match; with *last* only up to that revision."""
        await asyncio.sleep(0)
        self._bus.allow(jetstream.stream_subject("PURGE", self.name))
        self._stream().purge(key_filter, last)

    async def watch(self, key_filter: str = ">") -> AsyncGenerator[Event[M], None]:
        """Replay, then follow; each time that the session or the bucket is lost, replay again."""
        while True:
            await self._bus.wait_for_session()
            try:
                stream = self._start_watch(key_filter)
            except errors.BusUnavailable:
                await self._bus.wait_for_buckets()
                continue
            queue = stream.follow(key_filter)
            self._bus.attach(queue)
            try:
                replayed = stream.replay(key_filter)
                for stored in replayed:
                    yield self._entry(stored)
                yield Synced(frozenset(stored.key for stored in replayed))
                while change := await queue.get():
                    yield self._entry(change)
            finally:
                stream.release(queue)
                self._bus.detach(queue)

    def _start_watch(self, key_filter: str) -> _Stream:
        self._bus.allow(jetstream.consumer_subject(self.name, "memory", key_filter))
        return self._stream()

    async def _allow_write(self, key: str) -> None:
        await asyncio.sleep(0)
        self._bus.allow(jetstream.subject(self.name, key))

    def _stream(self) -> _Stream:
        return self._bus.server.stream(self.name)

    def _entry(self, stored: _Stored) -> Entry[M]:
        return self._reader.entry(stored.key, stored.data, revision=stored.revision, at=stored.at)


def matches(pattern: str, subject: str) -> bool:
    """Tell whether *subject* falls under *pattern*: ``*`` is one token, ``>`` one or more."""
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        if len(tokens) < len(wanted):
            return False
        wanted, tokens = wanted[:-1], tokens[: len(wanted) - 1]
    return len(wanted) == len(tokens) and all(
        one in ("*", other) for one, other in zip(wanted, tokens, strict=True)
    )
