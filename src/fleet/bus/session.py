"""
One connection to a NATS server, from CONNECT to its end.

A session never reconnects: when the link breaks, everything that waits on it is
told at once, and `fleet.bus.nats` makes another. nats-py could reconnect by
itself, but it holds writes back until then, gives a consumer that died with the
server no replay, and closes for ever on some errors.
"""

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import nats.errors
import structlog
from nats.aio.msg import Msg

from fleet import errors
from fleet.bus.client import AnySubject
from fleet.bus.jetstream import Delivery

log = structlog.get_logger()

CONNECT_SECONDS = 5
PING_SECONDS = 15  # twice unanswered: the link is dead


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is, and who we are. *urls* may hold several, separated by commas."""

    urls: str
    credentials: Path | None
    name: str
    inbox_prefix: str
    ca: Path | None = None


class Inbox:
    """What arrives at one subject, in order, and then why nothing more will."""

    def __init__(self, subject: str, backlog: int) -> None:
        self.subject = subject
        self._backlog = backlog
        self._queue: asyncio.Queue[Delivery | errors.BusUnavailable] = asyncio.Queue()

    def add(self, arrived: Delivery | errors.BusUnavailable) -> None:
        """Queue what arrived; too much is dropped, and shows as a gap."""
        if self._queue.qsize() < self._backlog or isinstance(arrived, errors.BusUnavailable):
            self._queue.put_nowait(arrived)

    async def next(self, *, seconds: float) -> Delivery:
        """
        Take what arrived first.

        :raises errors.BusUnavailable: nothing came in time, or nothing will come.
        """
        if not self._queue.empty():
            return self._checked(self._queue.get_nowait())
        try:
            async with asyncio.timeout(seconds):
                return self._checked(await self._queue.get())
        except TimeoutError as exc:
            raise errors.BusUnavailable(f"nothing heard for {seconds:g} s") from exc

    @staticmethod
    def _checked(arrived: Delivery | errors.BusUnavailable) -> Delivery:
        if isinstance(arrived, errors.BusUnavailable):
            raise arrived
        return arrived


class Session:
    """One connection. Every method raises `errors.BusUnavailable` once it is lost."""

    def __init__(self, address: Address, *, patience: timedelta, backlog: int) -> None:
        self._address = address
        self._backlog = backlog
        self._patience = patience.total_seconds()
        self._client = AnySubject()
        self._ended = asyncio.Event()
        self.last_error = ""
        self._tokens = count(1)
        self._replies = ""
        self._waiting: dict[str, tuple[str, asyncio.Future[Delivery]]] = {}
        self._inboxes: dict[str, Inbox] = {}

    async def open(self) -> None:
        """
        Connect.

        :raises errors.BusUnavailable: no server answered, or none let us in.
        :raises errors.InvalidConfig: the credentials can't be read.
        """
        options = login(self._address)
        servers = self._address.urls.split(",")
        try:
            async with asyncio.timeout(CONNECT_SECONDS * (len(servers) + 1)):
                await self._client.connect(
                    servers=servers,
                    name=self._address.name,
                    inbox_prefix=self._address.inbox_prefix,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=CONNECT_SECONDS,
                    ping_interval=PING_SECONDS,
                    error_cb=self._on_error,
                    closed_cb=self._on_closed,
                    **options,
                )
                await self._listen_for_replies()
        except (nats.errors.Error, OSError, TimeoutError) as exc:
            await self.close()
            raise errors.BusUnavailable(
                f"{self._address.urls}: {self.last_error or exc}", element=self._address.urls
            ) from exc
        except asyncio.CancelledError:
            await self.close()
            raise

    async def ended(self) -> None:
        """Wait until the connection is lost or closed."""
        await self._ended.wait()

    async def close(self) -> None:
        """Disconnect. Closing twice is fine."""
        try:
            await self._client.close()
        except (nats.errors.Error, OSError, AssertionError) as exc:  # a half-open client asserts
            log.debug("nats close failed", error=str(exc))
        finally:
            self._hang_up()
        self._end("the connection was closed")

    async def request(
        self, subject: str, payload: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Delivery:
        """
        Publish, and wait for the one answer.

        :raises errors.BusRefused: this user may not publish there.
        """
        if len(payload) > self._client.max_payload:
            raise errors.ValueTooLarge(
                f"{len(payload)} bytes; the server takes {self._client.max_payload}",
                element=subject,
            )
        token = str(next(self._tokens))
        future: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
        self._waiting[token] = (subject, future)
        try:
            await self._publish(subject, payload, reply=self._replies + token, headers=headers)
            async with asyncio.timeout(self._patience):
                return await future
        except TimeoutError as exc:
            raise errors.BusUnavailable(f"no answer to {subject}", element=subject) from exc
        finally:
            del self._waiting[token]

    async def tell(self, subject: str) -> None:
        """Publish nothing to *subject*: an answer to flow control."""
        await self._publish(subject, b"")

    async def subscribe(self) -> "Subscription":
        """Listen at a new subject of our own, named literally: a wildcard received nothing."""
        inbox = Inbox(self._client.new_inbox(), self._backlog)
        self._inboxes[inbox.subject] = inbox

        async def add(message: Msg) -> None:
            inbox.add(message)

        try:
            subscription = await self._client.subscribe(
                inbox.subject, cb=add, pending_bytes_limit=0
            )
        except nats.errors.Error as exc:
            del self._inboxes[inbox.subject]
            raise errors.BusUnavailable(f"subscribing: {exc}") from exc
        return Subscription(self, inbox, subscription)

    def forget(self, inbox: Inbox) -> None:
        """Drop an inbox that nobody reads any more."""
        self._inboxes.pop(inbox.subject, None)

    async def _publish(
        self,
        subject: str,
        payload: bytes,
        *,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if self._ended.is_set():
            raise errors.BusUnavailable("the connection is lost", element=subject)
        try:
            await self._client.publish(
                subject, payload, reply=reply, headers=dict(headers) if headers else None
            )
        except (nats.errors.Error, OSError) as exc:
            raise errors.BusUnavailable(f"publishing to {subject}: {exc!r}") from exc

    async def _listen_for_replies(self) -> None:
        self._replies = f"{self._client.new_inbox()}."
        await self._client.subscribe(f"{self._replies}*", cb=self._on_reply)

    async def _on_reply(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject.removeprefix(self._replies))
        if waiting and not waiting[1].done():
            waiting[1].set_result(message)

    async def _on_error(self, error: Exception) -> None:
        self.last_error = str(error) or repr(error)
        if "permissions violation" in self.last_error.lower():
            self._on_denial(self.last_error)
        else:
            log.debug("nats error", error=self.last_error)

    def _on_denial(self, text: str) -> None:
        """Fail whoever asked, at once: a denied request has no answer but this."""
        log.warning("nats permission denied", error=text)
        folded = text.lower()  # nats-py reports subjects in lower case
        why = text.removeprefix("nats: ")
        for subject, future in self._waiting.values():
            if f'"{subject.lower()}"' in folded and not future.done():
                future.set_exception(errors.BusRefused(why))
        for inbox in self._inboxes.values():
            if f'"{inbox.subject.lower()}"' in folded:
                inbox.add(errors.BusRefused(why))

    def _hang_up(self) -> None:
        """Close the socket: nats-py 2.16 leaves it open where it was refused or broken off."""
        transport = self._client._transport  # noqa: SLF001 - there is no public way
        if transport:
            transport.close()  # type: ignore[no-untyped-call]

    async def _on_closed(self) -> None:
        self._end(self.last_error or "the connection is lost")

    def _end(self, why: str) -> None:
        if self._ended.is_set():
            return
        self._ended.set()
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(errors.BusUnavailable(why))
        for inbox in self._inboxes.values():
            inbox.add(errors.BusUnavailable(why))


class Subscription:
    """An inbox and the right to close it."""

    def __init__(self, session: Session, inbox: Inbox, subscription: Any) -> None:
        self._session = session
        self._subscription = subscription
        self.inbox = inbox

    async def close(self) -> None:
        """Stop listening; the server drops a consumer that nobody listens to."""
        self._session.forget(self.inbox)
        try:
            await self._subscription.unsubscribe()
        except nats.errors.Error as exc:
            log.debug("unsubscribe failed", error=str(exc))


def login(address: Address) -> dict[str, Any]:
    """
    Read who we are, anew for each session, so that credentials can be replaced.

    :raises errors.InvalidConfig: the file isn't there or isn't one.
    """
    options: dict[str, Any] = {}
    if address.ca:
        options["tls"] = ssl.create_default_context(cafile=str(address.ca))
    if address.credentials is None:
        return options
    if address.credentials.suffix == ".creds":
        return {**options, "user_credentials": str(_existing(address.credentials))}
    try:
        content = json.loads(_existing(address.credentials).read_text())
        return {**options, "user": content["user"], "password": content["password"]}
    except (OSError, ValueError, KeyError, TypeError) as exc:
        path = str(address.credentials)
        raise errors.InvalidConfig(
            f'{path} is not {{"user": …, "password": …}}: {exc!r}', element=path
        ) from exc


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise errors.InvalidConfig(f"no credentials at {path}", element=str(path))
    return path
