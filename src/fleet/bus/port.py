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

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeAlias, TypeVar

from fleet.contracts.messages import Message

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Put(Generic[M]):
    """A value stands at *key*. *at* is the server's time of the write, UTC."""

    key: str
    value: M
    revision: int
    at: datetime


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
    """The replay is complete; *keys* are all that it held, so whatever else a reader knows is gone."""

    keys: frozenset[str] = frozenset()


Entry: TypeAlias = Put[M] | Deleted | Undecodable
Event: TypeAlias = Put[M] | Deleted | Undecodable | Synced


class Bucket(Protocol[M]):
    """
    One bucket of messages of one kind.

    Every method raises `errors.BusUnavailable` when the server doesn't answer
    or has no such bucket; nothing waits for ever.
    """

    @property
    def name(self) -> str:
        """The bucket's name, such as ``desired-state``."""

    async def get(self, key: str) -> Entry[M] | None:
        """Read what stands at *key*: its last entry, or None where there is none."""

    async def put(self, key: str, value: M, *, last: int | None = None) -> int:
        """
        Write *value*, and return its revision.

        With *last*, only over that revision; 0 means that the key must hold nothing at all.

        :raises errors.RevisionConflict: another revision stands there.
        """

    async def delete(
        self, key: str, *, last: int | None = None, ttl: timedelta | None = None
    ) -> int:
        """
        Write a delete marker, and return its revision. With *ttl* the server drops it after that.

        :raises errors.RevisionConflict: another revision than *last* stands there.
        """

    async def purge(self, key: str) -> None:
        """Remove every trace of *key*, its marker too (the operator's right alone)."""

    def watch(self, key_filter: str = ">") -> AsyncIterator[Event[M]]:
        """
        Replay, then follow, the keys that match *key_filter* (``pi-01.>``; NATS's subject language).

        Never ends by itself, and outlives lost connections and buckets made anew.
        Close it (``aclose``, or cancel the task) to release the consumer.
        """
