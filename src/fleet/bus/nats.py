"""
The bus over NATS: one session after another, and the buckets reached through them.

`connect` returns at once and keeps trying for ever: an agent starts without a
network, and an operator before its server. Whatever needs the server while it
is away raises `errors.BusUnavailable`.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import structlog

from fleet import errors
from fleet.bus import jetstream
from fleet.bus.bucket import NatsBucket
from fleet.bus.keeper import Address, Keeper
from fleet.bus.pace import Pace
from fleet.bus.session import Session
from fleet.bus.sessions import Sessions
from fleet.contracts import hub, kv
from fleet.contracts.messages import Codec, Message

__all__ = ["ALONE", "NatsBus", "Pace", "connect"]

log = structlog.get_logger()
M = TypeVar("M", bound=Message)

# The pace of a client that is no fleet: it has nobody to be spread among.
ALONE: Final = Pace(jitter=timedelta(0))


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
        self._buckets: dict[str, NatsBucket[Any]] = {}
        self._replaying = asyncio.Lock()
        self._keeper = Keeper(address, pace, self._change_to, chance)

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
        return jetstream.read_time(reply.get("ts"))

    async def close(self) -> None:
        """End the session, and make no other."""
        await self._keeper.close()

    @property
    def unheard_for(self) -> float:
        """The seconds since anything came from the server; infinite without a session."""
        return self._current.unheard_for if self._current else float("inf")

    @property
    def faults(self) -> int:
        """How many errors that nobody has thought of ended an attempt; for metrics."""
        return self._keeper.faults

    def require(self) -> Session:
        """
        Take the session that stands now.

        :raises errors.BusUnavailable: there is none.
        """
        if self._current is None:
            raise errors.BusUnavailable(f"not connected to {self._address}")
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
    def patience(self) -> timedelta:
        """How long a call may take."""
        return self._pace.patience

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
        """Wait for a random part of the jitter, so that a fleet doesn't ask at one instant."""
        is_first = not starts and self._keeper.is_first
        await asyncio.sleep(self._pace.spread(is_first=is_first, chance=self._chance()))

    def _change_to(self, current: Session | None) -> None:
        if current is self._current:
            return
        self._current = current
        self._turn(connected=current is not None)
        if current:
            log.info("nats connected", url=str(self._address), session=self.session)
        if self._on_change:
            self._on_change(self.connected)


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
    hears each time the connection is made (True) or lost. The files are read anew for each
    session: one that is missing or damaged, now or later, is logged and tried again.

    :raises errors.InvalidConfig: *url* holds a password, or is no address.
    """
    servers = hub.parse_servers(url, where="nats.url")
    address = Address(servers, credentials, name, inbox_prefix, ca)
    return NatsBus(address, pace or Pace(), on_change, chance)
