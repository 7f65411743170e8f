"""
The bus over NATS: one session after another, and the buckets reached through them.

`connect` returns at once and keeps trying for ever: an agent starts without a
network, and an operator before its server. Whatever needs the server while it
is away raises `errors.BusUnavailable`.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

import structlog

from fleet import errors
from fleet.bus import jetstream
from fleet.bus.bucket import NatsBucket
from fleet.bus.session import Address, Session, login
from fleet.bus.sessions import Sessions
from fleet.contracts import kv
from fleet.contracts.messages import Codec, Message

log = structlog.get_logger()
M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Pace:
    """
    How patient the bus is.

    *heartbeat* is how often an idle watch hears from the server; after two missed
    it starts over. *jitter* spreads the replays of a fleet that comes back at once.
    *patience* is how long an answer may take, *backlog* how many messages a slow
    reader of a watch may leave lying before it has to start over.
    """

    heartbeat: timedelta = timedelta(seconds=30)
    jitter: timedelta = timedelta(seconds=60)
    first_retry: timedelta = timedelta(seconds=0.2)
    longest_retry: timedelta = timedelta(seconds=15)
    patience: timedelta = timedelta(seconds=5)
    backlog: int = 512 * 1024

    def retry(self, failures: int, chance: float) -> float:
        """Compute the seconds until the next attempt; *chance* is in [0, 1)."""
        longest = self.longest_retry.total_seconds()
        delay = min(longest, self.first_retry.total_seconds() * 2.0 ** min(failures, 16))
        return delay * (0.5 + chance / 2)


class NatsBus(Sessions):
    """`port.Bus` over NATS. Make it with `connect`."""

    def __init__(
        self,
        address: Address,
        pace: Pace,
        on_change: Callable[[bool], None] | None,
        chance: Callable[[], float],
    ) -> None:
        super().__init__()
        self._address = address
        self._pace = pace
        self._on_change = on_change
        self._chance = chance
        self._current: Session | None = None
        self._troubled = False
        self._buckets: dict[str, NatsBucket[Any]] = {}
        self._replaying = asyncio.Lock()
        self._keeper = asyncio.create_task(self._keep_connected(), name="nats connection")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def bucket(self, codec: Codec[M]) -> NatsBucket[M]:
        """Reach the bucket that *codec* speaks of: always the same one. Asks the server nothing."""
        if codec.bucket not in self._buckets:
            self._buckets[codec.bucket] = NatsBucket(codec, self)
        return self._buckets[codec.bucket]

    async def server_time(self) -> datetime:
        """
        Read the server's clock, UTC. Only the operator may.

        :raises errors.BusUnavailable: the server doesn't answer, or has no buckets yet.
        """
        subject = jetstream.stream_subject("INFO", kv.BUCKET_DEVICE_HEARTBEAT)
        reply = await self.ask(subject)
        return jetstream.read_time(reply["ts"])

    async def close(self) -> None:
        """End the session, and make no other."""
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)

    def require(self) -> Session:
        """
        Take the session that stands now.

        :raises errors.BusUnavailable: there is none.
        """
        if self._current is None:
            raise errors.BusUnavailable(f"not connected to {self._address.urls}")
        return self._current

    async def ask(self, subject: str, payload: bytes = b"") -> dict[str, Any]:
        """
        Send a request of JetStream's API and read the answer.

        :raises errors.BusUnavailable: no answer, or a refusal.
        """
        delivery = await self.require().request(subject, payload)
        if jetstream.is_missing(delivery):
            raise errors.BusUnavailable(f"nobody answers {subject}", element=subject)
        return jetstream.read_reply(delivery.data)

    @property
    def name(self) -> str:
        """The name that our consumers begin with."""
        return self._address.name

    @property
    def heartbeat(self) -> timedelta:
        """How often an idle watch wants to hear from the server."""
        return self._pace.heartbeat

    @property
    def replaying(self) -> asyncio.Lock:
        """Whose turn it is to replay a bucket."""
        return self._replaying

    async def pause(self, failures: int) -> None:
        """Wait before a watch tries again."""
        await asyncio.sleep(self._pace.retry(failures, self._chance()))

    async def spread(self, starts: int) -> None:
        """Wait for a random part of the jitter, unless nothing went wrong so far."""
        if starts or self._troubled:
            await asyncio.sleep(self._chance() * self._pace.jitter.total_seconds())

    async def _keep_connected(self) -> None:
        failures = 0
        while True:
            current = Session(
                self._address, patience=self._pace.patience, backlog=self._pace.backlog
            )
            try:
                await self._hold(current)
            except errors.FleetError as exc:
                self._troubled = True
                failures += 1
                self._log_failure(failures, exc)
            else:
                self._troubled = False
                failures = 0
            await self.pause(failures)

    async def _hold(self, current: Session) -> None:
        """Open a session and stay until it ends."""
        try:
            await current.open()
            self._change_to(current)
            await current.ended()
            log.warning("nats disconnected", url=self._address.urls, error=current.last_error)
        finally:
            self._change_to(None)
            await current.close()

    def _change_to(self, current: Session | None) -> None:
        if current is self._current:
            return
        self._current = current
        self._turn(connected=current is not None)
        if current:
            log.info("nats connected", url=self._address.urls, session=self.session)
        if self._on_change:
            self._on_change(self.connected)

    def _log_failure(self, failures: int, error: errors.FleetError) -> None:
        """Say it once; a device that is offline for a year need not fill its disk with it."""
        if failures == 1:
            log.warning("nats connection failed", url=self._address.urls, error=str(error))
        else:
            log.debug("nats connection failed", error=str(error), failures=failures)


async def connect(
    url: str,
    *,
    credentials: Path | None = None,
    name: str,
    inbox_prefix: str = "_INBOX",
    ca: Path | None = None,
    pace: Pace | None = None,
    on_change: Callable[[bool], None] | None = None,
    chance: Callable[[], float] = random.random,
) -> NatsBus:
    """
    Begin to connect, and return without waiting for it.

    *name* shows in the server's monitoring and begins our consumers' names. *on_change*
    hears each time the connection is made (True) or lost.

    :raises errors.InvalidConfig: the credentials file isn't one.
    """
    address = Address(url, credentials, name, inbox_prefix, ca)
    login(address)
    return NatsBus(address, pace or Pace(), on_change, chance)
