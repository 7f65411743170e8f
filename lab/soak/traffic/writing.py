"""The two ways in which Fleet writes: over whatever stands there, and over what it knows."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from fleet import errors
from fleet.bus.port import Bucket, Deleted, Put
from fleet.contracts.messages import DeploymentState, ReconcileScore
from lab.soak.judgement.verdict import Written

M = TypeVar("M", bound=DeploymentState | ReconcileScore)

DELETE_EVERY = 13  # numbers; a prime, so that the markers wander over the keys

Compose = Callable[[str, int], M]


class Writing(Protocol):
    """A way to write the value of a number."""

    async def write(self, key: str, number: int) -> Written:
        """
        Write it, and return what stands there then.

        :raises errors.RetryableError: whether it stands there is unknown.
        """


class Plain(Generic[M]):
    """Writes over whatever stands there, as an agent writes its states."""

    def __init__(self, bucket: Bucket[M], compose: Compose[M]) -> None:
        self._bucket = bucket
        self._compose = compose

    async def write(self, key: str, number: int) -> Written:
        """Write it."""
        return await self._write(key, number, None)

    async def _write(self, key: str, number: int, last: int | None) -> Written:
        if number % DELETE_EVERY == 0:
            return Written(None, await self._bucket.delete(key, last=last))
        value = self._compose(key, number)
        return Written(number, await self._bucket.put(key, value, last=last))


class Guarded(Plain[M]):
    """Writes over what it knows to stand there, as the operator writes desired states."""

    def __init__(self, bucket: Bucket[M], compose: Compose[M]) -> None:
        super().__init__(bucket, compose)
        self._known: dict[str, Written] = {}

    async def write(self, key: str, number: int) -> Written:
        """Write it; where something else stands there, learn that."""
        known = self._known.get(key)
        try:
            written = await self._write(key, number, known.revision if known else 0)
        except errors.RevisionConflict:
            written = self._known[key] = await self._read(key)
            if written.number != (None if number % DELETE_EVERY == 0 else number):
                raise
        self._known[key] = written
        return written

    async def _read(self, key: str) -> Written:
        match await self._bucket.get(key):
            case Put() as entry:
                return Written(int(entry.value.revision), entry.revision)
            case Deleted() as entry:
                return Written(None, entry.revision)
            case other:
                raise errors.BusUnavailable(f"{key}: {other!r}", element=key)
