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
from collections.abc import Awaitable, Mapping
from itertools import count
from ssl import SSLContext
from typing import Any, Final, TypeVar

import nats.errors
import structlog
from nats.aio.msg import Msg

from fleet import errors
from fleet.bus.client import AnySubject
from fleet.bus.credentials import Login, Password, SignedUser
from fleet.bus.jetstream import Delivery
from fleet.bus.pace import Pace
from fleet.bus.wire import Wire, dial
from fleet.contracts.hub import Server

log = structlog.get_logger()
T = TypeVar("T")

_CLOSE_SECONDS: Final = 1.0
# A loop that stood still finds what came meanwhile, and the answer to what it asks only now: a
# server across a slow link is heard by then.
_GRACE_SECONDS: Final = 5.0
# There is no public way to learn that one of them died (nats-py 2.16).
_LIBRARY_TASKS: Final = ("_reading_task", "_flusher_task", "_ping_interval_task")


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

    def __init__(self, name: str, inbox_prefix: str, pace: Pace) -> None:
        self._name = name
        self._inbox_prefix = inbox_prefix
        self._pace = pace
        self._patience = pace.patience.total_seconds()
        self._client = AnySubject()
        self._wire: Wire | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ended = asyncio.Event()
        self._why = ""
        self._last_error = ""
        self._tokens = count(1)
        self._replies = ""
        self._waiting: dict[str, tuple[str, asyncio.Future[Delivery]]] = {}
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
            await self._listen_for_replies()
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
        if self._wire:
            self._wire.abort()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._client.close()
        except Exception as exc:  # noqa: BLE001 - a half-open client asserts; it is over anyway
            log.debug("nats close failed", error=repr(exc))
        finally:
            for task in tuple(self._tasks):
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
        future: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
        self._waiting[token] = (subject, future)
        try:
            async with asyncio.timeout(self._patience):
                await self._publish(subject, payload, reply=self._replies + token, headers=headers)
                return await future
        except TimeoutError as exc:
            raise errors.BusUnavailable(
                f"no answer to {subject} within {self._patience:g} s", element=subject
            ) from exc
        finally:
            del self._waiting[token]
            if not future.cancel() and not future.cancelled():
                future.exception()  # retrieved: who asked was told otherwise

    async def tell(self, subject: str) -> None:
        """Publish nothing to *subject*: an answer to flow control."""
        try:
            async with asyncio.timeout(self._patience):
                await self._publish(subject, b"")
        except TimeoutError as exc:
            raise errors.BusUnavailable("the server takes nothing", element=subject) from exc

    async def subscribe(self) -> "Subscription":
        """Listen at a new subject of our own, named literally: a wildcard received nothing."""
        self._check_open("subscribing")
        inbox = Inbox(self._client.new_inbox(), self._pace.backlog)
        self._inboxes[inbox.subject] = inbox

        async def add(message: Msg) -> None:
            inbox.add(message)

        try:
            subscription = await heeding_cancellation(
                self._client.subscribe(inbox.subject, cb=add, pending_bytes_limit=0)
            )
        except BaseException as exc:
            del self._inboxes[inbox.subject]
            if isinstance(exc, nats.errors.Error):
                raise errors.BusUnavailable(f"subscribing: {exc}") from exc
            raise
        self._keep(_task_of(subscription))
        return Subscription(self, inbox, subscription)

    def forget(self, inbox: Inbox) -> None:
        """Drop an inbox that nobody reads any more."""
        self._inboxes.pop(inbox.subject, None)

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

    async def _publish(
        self,
        subject: str,
        payload: bytes,
        *,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        try:
            await self._check_open(subject).writable()
            await heeding_cancellation(
                self._client.publish(
                    subject, payload, reply=reply, headers=dict(headers) if headers else None
                )
            )
        except (nats.errors.Error, OSError) as exc:
            if isinstance(exc, TimeoutError):
                raise
            raise errors.BusUnavailable(f"publishing to {subject}: {exc!r}") from exc

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

    async def _listen_for_replies(self) -> None:
        self._replies = f"{self._client.new_inbox()}."
        subscription = await heeding_cancellation(
            self._client.subscribe(f"{self._replies}*", cb=self._on_reply)
        )
        self._keep(_task_of(subscription)).add_done_callback(self._on_task_end)

    def _supervise(self) -> None:
        """Have the end of any task of nats-py's end the session."""
        for name in _LIBRARY_TASKS:
            self._keep(getattr(self._client, name)).add_done_callback(self._on_task_end)

    def _keep(self, task: asyncio.Task[Any]) -> asyncio.Task[Any]:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

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

    async def _on_reply(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject.removeprefix(self._replies))
        if waiting and not waiting[1].done():
            waiting[1].set_result(message)

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
        for subject, future in self._waiting.values():
            if f'"{subject.lower()}"' in folded and not future.done():
                future.set_exception(errors.BusRefused(why))
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
            await heeding_cancellation(self._subscription.unsubscribe())
        except nats.errors.Error as exc:
            log.debug("unsubscribe failed", error=str(exc))


def _options(login: Login | None) -> dict[str, Any]:
    """Say who we are in nats-py's words."""
    match login:
        case Password(user, password):
            return {"user": user, "password": password}
        case SignedUser(jwt):
            return {"user_jwt_cb": lambda: bytearray(jwt.encode()), "signature_cb": login.sign}
        case None:
            return {}


def _task_of(subscription: Any) -> "asyncio.Task[Any]":
    """Return the task that hands over what arrives: there is no public way to it."""
    task: asyncio.Task[Any] = subscription._wait_for_msgs_task  # noqa: SLF001
    return task


async def heeding_cancellation(work: Awaitable[T]) -> T:
    """
    Do *work* of nats-py's, and be cancelled if that was asked for meanwhile.

    nats-py 2.16 swallows a cancellation while it flushes (`Client._flush_pending`): the task
    would go on, without its time limit, or after everybody else has ended.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    result = await work
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
    return result
