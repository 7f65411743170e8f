"""
One connection to a NATS server, from CONNECT to its end.

A session never reconnects: when the link breaks, everything that waits on it is
told at once, and `fleet.bus.keeper` makes another. nats-py could reconnect by
itself, but it holds writes back until then, gives a consumer that died with the
server no replay, and closes for ever on some errors.

nats-py speaks the protocol; whether the connection stands is judged here: it has
ended when one of nats-py's tasks has, for whatever reason, or when nothing was
heard for too long. It is ended by aborting it.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from ssl import SSLContext
from typing import Any, Final

import nats.errors
import structlog

from fleet import errors
from fleet.bus.client import DirectClient
from fleet.bus.credentials import Login, Password, SignedUser
from fleet.bus.jetstream import Delivery
from fleet.bus.pace import Pace
from fleet.bus.wire import Wire, dial
from fleet.contracts.hub import Server

log = structlog.get_logger()

_CLOSE_SECONDS: Final = 1.0
# A loop that stood still finds what came meanwhile, and the answer to what it asks only now: a
# server across a slow link is heard by then.
_GRACE_SECONDS: Final = 5.0
# There is no public way to learn that one of them died (nats-py 2.16).
_LIBRARY_TASKS: Final = ("_reading_task", "_flusher_task", "_ping_interval_task")


class Inbox:
    """
    What arrives at one subject, in order, and then why nothing more will. It has one reader.

    One timer watches over all waits of the reader: a timer for each would cost more than the
    rest of the wait.
    """

    def __init__(self, subject: str, backlog: int) -> None:
        self.subject = subject
        self._backlog = backlog
        self._arrived: deque[Delivery | errors.BusUnavailable] = deque()
        self._loop = asyncio.get_running_loop()
        self._reader: asyncio.Future[None] | None = None
        self._give_up_at = 0.0
        self._alarm: asyncio.TimerHandle | None = None

    def add(self, arrived: Delivery | errors.BusUnavailable) -> None:
        """Queue what arrived; too much is dropped, and shows as a gap."""
        if len(self._arrived) < self._backlog or isinstance(arrived, errors.BusUnavailable):
            self._arrived.append(arrived)
            self._wake()

    async def next(self, *, seconds: float) -> Delivery:
        """
        Take what arrived first.

        :raises errors.BusUnavailable: nothing came in time, or nothing will come.
        """
        if not self._arrived:
            await self._wait(seconds)
        if not self._arrived:
            raise errors.BusUnavailable(f"nothing heard for {seconds:g} s")
        arrived = self._arrived.popleft()
        if isinstance(arrived, errors.BusUnavailable):
            raise arrived
        return arrived

    def close(self) -> None:
        """Take note that nobody reads any more."""
        if self._alarm:
            self._alarm.cancel()

    async def _wait(self, seconds: float) -> None:
        """Wait until something arrived, or *seconds* have passed."""
        self._give_up_at = self._loop.time() + seconds
        if self._alarm is None or self._alarm.when() > self._give_up_at:
            self._set_alarm()
        self._reader = self._loop.create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def _wake(self) -> None:
        if self._reader and not self._reader.done():
            self._reader.set_result(None)

    def _set_alarm(self) -> None:
        if self._alarm:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(self._give_up_at, self._on_alarm, self._give_up_at)

    def _on_alarm(self, at: float) -> None:
        """Wake a reader who has waited for long enough; look again later after any other."""
        self._alarm = None
        if self._reader is None:
            return
        if at < self._give_up_at:
            self._set_alarm()
        else:
            self._wake()


@dataclass(slots=True)
class _Request:
    """A question that waits for its answer. *until* is a time of the loop's clock."""

    subject: str
    answer: asyncio.Future[Delivery]
    until: float


class Session:
    """One connection. Every method raises `errors.BusUnavailable` once it is lost."""

    def __init__(self, name: str, inbox_prefix: str, pace: Pace) -> None:
        self._name = name
        self._inbox_prefix = inbox_prefix
        self._pace = pace
        self._patience = pace.patience.total_seconds()
        self._client = DirectClient()
        self._loop = asyncio.get_running_loop()
        self._wire: Wire | None = None
        self._tasks: list[asyncio.Task[Any]] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._why = ""
        self._last_error = ""
        self._tokens = count(1)
        self._replies = ""
        self._waiting: dict[str, _Request] = {}  # in the order of their ends
        self._inboxes: dict[str, Inbox] = {}

    async def open(
        self, server: Server, login: Login | None, authority: SSLContext | None = None
    ) -> None:
        """
        Connect, and say who we are to a server that may know.

        :raises errors.BusUnavailable: it isn't one, or doesn't let us in.
        :raises OSError: nobody is there, or nobody who can prove to be *server*.
        """
        try:
            self._wire = await dial(server, authority)
            await self._log_in(server, login)
            self._supervise()
            self._listen_for_replies()
        except nats.errors.Error as exc:
            await self.close()
            raise errors.BusUnavailable(self._last_error or str(exc)) from exc
        except BaseException:
            await self.close()
            raise

    @property
    def unheard_for(self) -> float:
        """The seconds since anything came from the server."""
        return self._wire.unheard_for if self._wire else float("inf")

    async def ended(self) -> str:
        """Wait until the connection is lost, or silent for too long; return why it ended."""
        limit = self._pace.silence.total_seconds()
        grace = min(_GRACE_SECONDS, limit / 10)
        while not await self._has_ended(within=limit - self.unheard_for):
            if self.unheard_for >= limit and not await self._has_ended(within=grace):
                self._end_if_silent(limit)
        return self._why

    async def close(self) -> None:
        """Disconnect, at once and without a word. Closing twice is fine."""
        self._end("the connection was closed")
        if self._alarm:
            self._alarm.cancel()
        if self._wire:
            self._wire.abort()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._client.close()
        except Exception as exc:  # noqa: BLE001 - a half-open client asserts; it is over anyway
            log.debug("nats close failed", error=repr(exc))
        finally:
            for task in self._tasks:
                task.cancel()
        if self._wire:
            await self._wire.closed()

    async def request(
        self, subject: str, payload: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Delivery:
        """
        Publish, and wait for the one answer; both together take no longer than the patience.

        :raises errors.BusRefused: this user may not publish there.
        """
        self._check_size(subject, payload)
        token = str(next(self._tokens))
        request = self._await_answer(token, subject)
        try:
            if not self._check_open(subject).has_room:
                await self._wait_for_room(subject)
            self._post(subject, payload, reply=self._replies + token, headers=headers)
            return await request.answer
        finally:
            del self._waiting[token]
            if not request.answer.cancel() and not request.answer.cancelled():
                request.answer.exception()  # retrieved: who asked was told otherwise

    async def tell(self, subject: str) -> None:
        """Publish nothing to *subject*: an answer to flow control."""
        if not self._check_open(subject).has_room:
            await self._wait_for_room(subject)
        self._post(subject, b"")

    def subscribe(self) -> "Subscription":
        """Listen at a new subject of our own, named literally: a wildcard received nothing."""
        self._check_open("subscribing")
        inbox = Inbox(self._client.new_inbox(), self._pace.backlog)
        try:
            subscription = self._client.listen(inbox.subject, inbox.add)
        except nats.errors.Error as exc:
            raise errors.BusUnavailable(f"subscribing: {exc}") from exc
        self._inboxes[inbox.subject] = inbox
        return Subscription(self, inbox, subscription)

    def unsubscribe(self, subscription: "Subscription") -> None:
        """Drop an inbox that nobody reads any more; the server drops its consumer."""
        self._inboxes.pop(subscription.inbox.subject, None)
        subscription.inbox.close()
        try:
            self._client.stop_listening(subscription.number)
        except nats.errors.Error as exc:
            log.debug("unsubscribe failed", error=str(exc))

    def _check_size(self, subject: str, payload: bytes) -> None:
        if len(payload) > self._client.max_payload:
            raise errors.ValueTooLarge(
                f"{len(payload)} bytes; the server takes {self._client.max_payload}",
                element=subject,
            )

    def _check_open(self, subject: str) -> Wire:
        if self._ended.is_set() or self._wire is None:
            raise errors.BusUnavailable("the connection is lost", element=subject)
        return self._wire

    async def _wait_for_room(self, subject: str) -> None:
        """Wait until the connection takes more, for no longer than the patience."""
        try:
            async with asyncio.timeout(self._patience):
                await self._check_open(subject).writable()
        except TimeoutError as exc:
            raise errors.BusUnavailable(
                f"{subject} not taken within {self._patience:g} s", element=subject
            ) from exc
        except OSError as exc:
            raise errors.BusUnavailable(f"publishing to {subject}: {exc!r}") from exc

    def _post(
        self,
        subject: str,
        payload: bytes,
        *,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        try:
            self._client.post(subject, payload, reply=reply, headers=headers)
        except nats.errors.Error as exc:
            raise errors.BusUnavailable(f"publishing to {subject}: {exc!r}") from exc

    def _await_answer(self, token: str, subject: str) -> _Request:
        """Have an answer awaited, for the patience from now."""
        until = self._loop.time() + self._patience
        request = _Request(subject, self._loop.create_future(), until)
        self._waiting[token] = request
        if self._alarm is None:
            self._set_alarm(request.until)
        return request

    def _set_alarm(self, at: float) -> None:
        self._alarm = self._loop.call_at(at, self._give_up, at)

    def _give_up(self, at: float) -> None:
        """Fail what has waited for too long. One timer serves all requests: they end in order."""
        self._alarm = None
        for request in self._waiting.values():
            if request.until > at:
                self._set_alarm(request.until)
                return
            if not request.answer.done():
                request.answer.set_exception(
                    errors.BusUnavailable(
                        f"no answer to {request.subject} within {self._patience:g} s",
                        element=request.subject,
                    )
                )

    async def _log_in(self, server: Server, login: Login | None) -> None:
        self._client._transport = self._wire  # noqa: SLF001 - there is no public way
        await self._client.connect(
            servers=[f"nats://{server.host}:{server.port}"],
            name=self._name,
            inbox_prefix=self._inbox_prefix,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=self._pace.connect.total_seconds(),  # type: ignore[arg-type]
            ping_interval=self._pace.ping.total_seconds(),  # type: ignore[arg-type]
            error_cb=self._on_error,
            closed_cb=self._on_closed,
            **_options(login),
        )

    def _listen_for_replies(self) -> None:
        self._replies = f"{self._client.new_inbox()}."
        self._client.listen(f"{self._replies}*", self._on_reply)

    def _supervise(self) -> None:
        """Have the end of any task of nats-py's end the session."""
        for name in _LIBRARY_TASKS:
            task: asyncio.Task[Any] = getattr(self._client, name)
            self._tasks.append(task)
            task.add_done_callback(self._on_task_end)

    def _on_task_end(self, task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error and not self._ended.is_set():
            log.warning("nats task failed", task=str(task.get_coro()), error=repr(error))
        self._end(repr(error) if error else self._reason())

    def _reason(self) -> str:
        known = self._last_error or str(self._client.last_error or "")
        return known or "the connection is lost"

    async def _has_ended(self, *, within: float) -> bool:
        try:
            async with asyncio.timeout(max(0.0, within)):
                await self._ended.wait()
        except TimeoutError:
            pass
        return self._ended.is_set()

    def _end_if_silent(self, limit: float) -> None:
        if self.unheard_for >= limit:
            self._end(f"the server was silent for {limit:g} s")

    def _on_reply(self, message: Delivery) -> None:
        request = self._waiting.get(message.subject.removeprefix(self._replies))
        if request and not request.answer.done():
            request.answer.set_result(message)

    async def _on_error(self, error: Exception) -> None:
        self._last_error = str(error) or repr(error)
        if "permissions violation" in self._last_error.lower():
            self._on_denial(self._last_error)
        else:
            log.debug("nats error", error=self._last_error)

    def _on_denial(self, text: str) -> None:
        """Fail whoever asked, at once: a denied request has no answer but this."""
        log.warning("nats permission denied", error=text)
        folded = text.lower()  # nats-py reports subjects in lower case
        why = text.removeprefix("nats: ")
        for request in self._waiting.values():
            if f'"{request.subject.lower()}"' in folded and not request.answer.done():
                request.answer.set_exception(errors.BusRefused(why))
        for inbox in self._inboxes.values():
            if f'"{inbox.subject.lower()}"' in folded:
                inbox.add(errors.BusRefused(why))

    async def _on_closed(self) -> None:
        self._end(self._reason())

    def _end(self, why: str) -> None:
        if self._ended.is_set():
            return
        self._why = why
        self._ended.set()
        for request in self._waiting.values():
            if not request.answer.done():
                request.answer.set_exception(errors.BusUnavailable(why))
        for inbox in self._inboxes.values():
            inbox.add(errors.BusUnavailable(why))


@dataclass(frozen=True, slots=True)
class Subscription:
    """An inbox and the right to close it. *number* is what the client knows it by."""

    session: Session
    inbox: Inbox
    number: int

    def close(self) -> None:
        """Stop listening; the server drops a consumer that nobody listens to."""
        self.session.unsubscribe(self)


def _options(login: Login | None) -> dict[str, Any]:
    """Say who we are in nats-py's words."""
    match login:
        case Password(user, password):
            return {"user": user, "password": password}
        case SignedUser(jwt):
            return {"user_jwt_cb": lambda: bytearray(jwt.encode()), "signature_cb": login.sign}
        case None:
            return {}
