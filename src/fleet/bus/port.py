"""
The port: what operator and agent see of a bucket.

Two things implement it, `fleet.bus.nats` and `fleet.bus.memory`, and one
contract suite runs over both.

A watch is a *full replay, then changes*: first the last entry of each key (put
or delete marker), then `Synced`, also when the bucket is empty, then what
changes. It never resumes: whenever the adapter loses its place (the connection
broke, heartbeats stayed away, the bucket was made anew) the replay starts
over and ends in another `Synced`. So a reader sweeps its *view* at `Synced`,
which names the keys that were replayed. Revisions compare only within one incarnation of a
bucket.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

from fleet.contracts.messages import Codec, Message

M = TypeVar("M", bound=Message)

# A server is asked for a sign of life every 15 s: one that gave none for this long isn't there.
HEARD_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Put(Generic[M]):
    """
    A value stands at *key*. *at* is the server's time of the write, UTC.

    *time_replaced*: the writer's own time in it could not be right, and is *at* now.
    """

    key: str
    value: M
    revision: int
    at: datetime
    time_replaced: bool = False


@dataclass(frozen=True, slots=True)
class Deleted:
    """A delete marker stands at *key*."""

    key: str
    revision: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Bytes stand at *key* that aren't a message of this bucket; *error* says why."""

    key: str
    revision: int
    at: datetime
    error: str


@dataclass(frozen=True, slots=True)
class Synced:
    """The replay is complete; *keys* are all it held, so whatever else a reader knows is gone."""

    keys: frozenset[str] = frozenset()


Entry: TypeAlias = Put[M] | Deleted | Undecodable
Event: TypeAlias = Put[M] | Deleted | Undecodable | Synced


class Bucket(Protocol[M]):
    """
    One bucket of messages of one kind.

    Every method raises `errors.BusUnavailable` when the server doesn't answer
    or has no such bucket; none takes longer than the patience of the bus.
    """

    @property
    def name(self) -> str:
        """The bucket's name, such as ``desired-state``."""

    @property
    def undecodable(self) -> int:
        """How many values so far weren't messages of this bucket; for metrics."""

    async def get(self, key: str) -> Entry[M] | None:
        """Read what stands at *key*: its last entry, or None where there is none."""

    async def put(self, key: str, value: M, *, last: int | None = None) -> int:
        """
        Write *value*, and return its revision.

        With *last*, only over that revision; 0 means that the key must hold nothing at all.

        :raises errors.RevisionConflict: another revision stands there.
        :raises errors.ValueTooLarge: nothing was sent.
        :raises errors.BucketFull: the bucket has no room; another time it may.
        """

    async def delete(
        self, key: str, *, last: int | None = None, ttl: timedelta | None = None
    ) -> int:
        """
        Write a delete marker, and return its revision. With *ttl* the server drops it after that.

        :raises errors.RevisionConflict: another revision than *last* stands there.
        """

    async def purge(self, key_filter: str, *, last: int | None = None) -> None:
        """
        Remove every trace of the keys that match, markers too (the operator's right alone).

        With *last*, only up to that revision: what was written since stays.
        """

    def watch(self, key_filter: str = ">") -> AsyncGenerator[Event[M], None]:
        """
        Replay, then follow, the keys that match *key_filter* (NATS's language: ``pi-01.>``).

        Never ends by itself, and outlives lost connections and buckets made anew.
        Close it (``aclose``, or cancel the task) to release the consumer.
        """


class Bus(Protocol):
    """
    The connection that buckets are reached through. It comes back by itself, for ever.

    Each time it is made counts as a *session*: whoever must say something again
    after a break waits for the next one.
    """

    @property
    def connected(self) -> bool:
        """Whether there is a session now."""

    @property
    def session(self) -> int:
        """The number of the last session: 0 before the first, 1, 2, …"""

    @property
    def unheard_for(self) -> float:
        """The seconds since anything came from the server; infinite without a session."""

    async def wait_for_session(self, after: int = 0) -> int:
        """Wait until a session later than *after* stands, and return its number."""

    async def wait_for_change(self) -> bool:
        """Wait until the connection was made or lost; return whether it stands then."""

    def bucket(self, codec: Codec[M]) -> Bucket[M]:
        """Reach the bucket that *codec* speaks of: always the same one. Asks the server nothing."""

    async def server_time(self) -> datetime:
        """
        Read the server's clock, UTC (the operator's right alone).

        :raises errors.BusUnavailable: the server doesn't answer.
        """

    async def close(self) -> None:
        """End the session, and make no other."""


def is_heard(bus: Bus) -> bool:
    """
    Tell whether the server is there: not only connected, but heard of lately.

    A connection to a frozen server, or through a cable that was pulled, stands for a while.
    """
    return bus.unheard_for <= HEARD_SECONDS
