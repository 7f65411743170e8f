"""A bus whose parts raise what nobody foresaw: once, or whenever they meet one key."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NoReturn, Self, TypeVar

from fleet.bus.port import Bucket, Bus, Entry, Event, Put, Synced
from fleet.contracts.messages import Codec, Message

M = TypeVar("M", bound=Message)


class Bug(RuntimeError):
    """What nobody foresaw."""


@dataclass(slots=True)
class Fault:
    """Raises a bug where *operation* meets a key that holds *word*; so *often*."""

    operation: str
    word: str
    often: float
    met: int = 0


@dataclass(slots=True)
class Faults:
    """The faults of one test. What is an operation is up to who asks."""

    faults: list[Fault] = field(default_factory=list)

    def add(self, operation: str, word: str = "", *, often: float = float("inf")) -> Fault:
        """Have *operation* raise for keys that hold *word*."""
        fault = Fault(operation, word, often)
        self.faults.append(fault)
        return fault

    def check(self, operation: str, key: object = "") -> None:
        """Raise a bug, if there is to be one."""
        for fault in self.faults:
            meets = fault.operation == operation and fault.word in str(key)
            if meets and fault.met < fault.often:
                fault.met += 1
                raise Bug(f"{operation} {key}")


class _Broken:
    """A value in which every reader meets a bug."""

    def __getattr__(self, name: str) -> NoReturn:
        raise Bug(name)


class _FaultyBucket:
    """`port.Bucket` over another; its operations are ``BUCKET.get``, ``BUCKET.watch``, …"""

    def __init__(self, bucket: Bucket[Any], faults: Faults) -> None:
        self._bucket = bucket
        self._faults = faults

    @property
    def name(self) -> str:
        return self._bucket.name

    @property
    def undecodable(self) -> int:
        return self._bucket.undecodable

    async def get(self, key: str) -> Entry[Any] | None:
        self._check("get", key)
        return await self._bucket.get(key)

    async def put(self, key: str, value: Any, *, last: int | None = None) -> int:
        self._check("put", key)
        return await self._bucket.put(key, value, last=last)

    async def delete(
        self, key: str, *, last: int | None = None, ttl: timedelta | None = None
    ) -> int:
        self._check("delete", key)
        return await self._bucket.delete(key, last=last, ttl=ttl)

    async def purge(self, key_filter: str, *, last: int | None = None) -> None:
        self._check("purge", key_filter)
        await self._bucket.purge(key_filter, last=last)

    async def watch(self, key_filter: str = ">") -> AsyncGenerator[Event[Any], None]:
        """Watch; ``BUCKET.value`` has the reader meet a bug in a value, instead of the watch."""
        events = self._bucket.watch(key_filter)
        try:
            async for event in events:
                self._check("watch", "" if isinstance(event, Synced) else event.key)
                yield self._handed(event)
        finally:
            await events.aclose()

    def _handed(self, event: Event[Any]) -> Event[Any]:
        if isinstance(event, Put):
            try:
                self._check("value", event.key)
            except Bug:
                return replace(event, value=_Broken())
        return event

    def _check(self, operation: str, key: str) -> None:
        self._faults.check(f"{self._bucket.name}.{operation}", key)


class FaultyBus:
    """`port.Bus` over another. It closes what it stands on."""

    def __init__(self, bus: Bus, faults: Faults) -> None:
        self._bus = bus
        self._faults = faults
        self._buckets: dict[str, _FaultyBucket] = {}

    @property
    def connected(self) -> bool:
        return self._bus.connected

    @property
    def session(self) -> int:
        return self._bus.session

    @property
    def unheard_for(self) -> float:
        return self._bus.unheard_for

    async def wait_for_session(self, after: int = 0) -> int:
        return await self._bus.wait_for_session(after)

    async def wait_for_change(self) -> bool:
        self._faults.check("wait_for_change")
        return await self._bus.wait_for_change()

    def bucket(self, codec: Codec[M]) -> Bucket[M]:
        return self._buckets.setdefault(
            codec.bucket, _FaultyBucket(self._bus.bucket(codec), self._faults)
        )

    async def server_time(self) -> datetime:
        self._faults.check("server_time")
        return await self._bus.server_time()

    async def close(self) -> None:
        await self._bus.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
