"""
JetStream's own words: subjects, headers, requests and replies, as plain values.

Nothing here talks to a server. A bucket is the stream ``KV_<bucket>`` over the
subjects ``$KV.<bucket>.<key>``. Keys are asked for by subject (never by a body,
which permissions can't see), so that the same requests serve an agent that is
confined to its own keys and the operator.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, Final, NamedTuple, ParamSpec, Protocol, TypeAlias, TypeVar

import msgspec

from fleet import errors
from fleet.contracts import bounds

P = ParamSpec("P")
T = TypeVar("T")

NO_RESPONDERS = "503"
NOT_FOUND = "404"
STREAM_NOT_FOUND = 10059
WRONG_LAST_SEQUENCE = (10071, 10164)
MESSAGE_TOO_LARGE = 10054
STORE_FAILED = 10077
NO_ROOM = "maximum bytes exceeded"

EXPECTED_LAST = "Nats-Expected-Last-Subject-Sequence"
TTL = "Nats-TTL"
OPERATION = "KV-Operation"
DELETE = "DEL"
MARKER_REASON = "Nats-Marker-Reason"
STATUS = "Status"
SEQUENCE = "Nats-Sequence"  # the server's, in each message that it answers with

_API = "$JS.API"
_NANOSECONDS = 1_000_000_000
_EPOCH = datetime.fromtimestamp(0, UTC)
_ACK_TOKENS_SHORT = 9  # $JS.ACK.stream.consumer.delivered.sseq.cseq.timestamp.pending
_MARKERS = ("DEL", "PURGE")


class Delivery(Protocol):
    """A message as the client hands it over; *block* holds its headers, unread."""

    @property
    def subject(self) -> str: ...
    @property
    def reply(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    @property
    def block(self) -> bytes: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


class Stored(NamedTuple):
    """One message of the stream. *data* is None for a delete marker."""

    key: str
    data: bytes | None
    sequence: int
    at: datetime


class Delivered(NamedTuple):
    """A stored message on its way through a consumer: its *place*, and how many wait after it."""

    stored: Stored
    place: int
    pending: int


@dataclass(frozen=True, slots=True)
class Beat:
    """An idle heartbeat: *place* is the consumer's last delivery; *stalled* wants an answer."""

    place: int
    stalled: str


@dataclass(frozen=True, slots=True)
class FlowControl:
    """The server waits for a word at *reply* before it goes on."""

    reply: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The server gave the consumer up."""

    description: str


Arrival: TypeAlias = Delivered | Beat | FlowControl | Ended


def stream(bucket: str) -> str:
    """Name the stream behind *bucket*."""
    return f"KV_{bucket}"


def subject(bucket: str, key: str) -> str:
    """Build the subject of *key*, or of a filter."""
    return f"$KV.{bucket}.{key}"


def get_subject(bucket: str, key: str) -> str:
    """Build the request for the last message of one key."""
    return f"{_API}.DIRECT.GET.{stream(bucket)}.{subject(bucket, key)}"


def consumer_name(client: str, unique: str) -> str:
    """Name a consumer after its *client*, in one token of a subject."""
    return f"{re.sub(r'[^A-Za-z0-9_-]', '-', client)}-{unique}"


def consumer_subject(bucket: str, name: str, key_filter: str) -> str:
    """Build the request for a named consumer of the keys that match *key_filter*."""
    return f"{_API}.CONSUMER.CREATE.{stream(bucket)}.{name}.{subject(bucket, key_filter)}"


def stream_subject(verb: str, bucket: str) -> str:
    """Build the request that does *verb* (INFO, CREATE, UPDATE, PURGE) to a stream."""
    return f"{_API}.STREAM.{verb}.{stream(bucket)}"


def consumer(
    bucket: str, name: str, key_filter: str, *, deliver_to: str, heartbeat: timedelta
) -> bytes:
    """
    Ask for a replay of the last message per key, then for what changes.

    Flow control is asked for only where all keys are replayed: a confined agent has few,
    and would need one more permission.
    """
    config: dict[str, Any] = {
        "name": name,
        "deliver_policy": "last_per_subject",
        "ack_policy": "none",
        "replay_policy": "instant",
        "filter_subject": subject(bucket, key_filter),
        "deliver_subject": deliver_to,
        "idle_heartbeat": _nanoseconds(heartbeat),
        "inactive_threshold": _nanoseconds(2 * heartbeat),
        "mem_storage": True,
        "num_replicas": 1,
    }
    if key_filter == ">":
        config["flow_control"] = True
    return json.dumps({"stream_name": stream(bucket), "config": config, "action": ""}).encode()


def checked_size(bucket: str, key: str, data: bytes) -> bytes:
    """
    Refuse a value that the bucket doesn't take.

    :raises errors.ValueTooLarge: it has too many bytes.
    """
    most = bounds.max_value_bytes(bucket)
    if len(data) > most:
        raise errors.ValueTooLarge(
            f"{bucket}/{key}: {len(data)} bytes; {most} are allowed", element=key
        )
    return data


def purge(bucket: str, key_filter: str, last: int | None) -> bytes:
    """Ask to remove every message of the keys that match, or those up to revision *last*."""
    bound = {} if last is None else {"seq": last + 1}
    return json.dumps({"filter": subject(bucket, key_filter), **bound}).encode()


def is_missing(delivery: Delivery) -> bool:
    """Tell whether nobody answers there: no stream of that name, or JetStream isn't ready."""
    return _status(delivery) == NO_RESPONDERS


def is_empty(delivery: Delivery) -> bool:
    """Tell whether the stream holds nothing at that subject."""
    return _status(delivery) == NOT_FOUND


_UNREADABLE: Final = (
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    RecursionError,
    msgspec.MsgspecError,
)


def _strictly(read: Callable[P, T]) -> Callable[P, T]:
    """Have *read* refuse what isn't JetStream's way to speak, in whatever way it isn't."""

    @wraps(read)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(*args, **kwargs)
        except _UNREADABLE as exc:
            raise errors.BusUnavailable(f"not an answer of JetStream: {exc!r}") from exc

    return checked


@_strictly
def read_reply(data: bytes) -> dict[str, Any]:
    """
    Read the answer to a request or a publication.

    :raises errors.RevisionConflict: the key holds another revision.
    :raises errors.ValueTooLarge: the stream takes no message of that size.
    :raises errors.BucketFull: the stream has no room.
    :raises errors.BusUnavailable: any other refusal.
    """
    reply = _table(msgspec.json.decode(data))
    if "error" in reply:
        raise _refusal(_table(reply["error"]))
    return reply


@_strictly
def revision(reply: Mapping[str, Any]) -> int:
    """Read which revision a write made."""
    return int(reply["seq"])


@_strictly
def stream_config(reply: Mapping[str, Any]) -> dict[str, Any]:
    """Read how a stream is configured."""
    return _table(reply["config"])


@_strictly
def stream_bytes(reply: Mapping[str, Any]) -> int:
    """Read how many bytes a stream holds."""
    return int(reply["state"]["bytes"])


@_strictly
def pending(reply: Mapping[str, Any]) -> int:
    """Read how many messages a new consumer has to deliver."""
    return int(reply.get("num_pending", 0))


@_strictly
def read_stored(bucket: str, delivery: Delivery) -> Stored:
    """
    Read the answer to a direct get.

    :raises errors.BusUnavailable: it is none.
    """
    headers = delivery.headers
    return Stored(
        key=_key(bucket, headers["Nats-Subject"]),
        data=_content(delivery),
        sequence=int(headers[SEQUENCE]),
        at=read_time(headers["Nats-Time-Stamp"]),
    )


@_strictly
def read_arrival(bucket: str, delivery: Delivery) -> Arrival:
    """
    Tell a message of the stream from the server's own signals, by its subject.

    Headers tell nothing: who writes a message may write any, a status too.

    :raises errors.BusUnavailable: it is neither.
    """
    if delivery.subject.startswith(subject(bucket, "")):
        return _delivered(bucket, delivery)
    headers = delivery.headers
    status = headers.get(STATUS, "")
    if status != "100":
        return Ended(f"{status} {headers.get('Description', '')}".strip())
    if delivery.reply:
        return FlowControl(delivery.reply)
    return Beat(
        place=int(headers.get("Nats-Last-Consumer", 0)),
        stalled=headers.get("Nats-Consumer-Stalled", ""),
    )


@_strictly
def read_time(text: Any) -> datetime:
    """Read the server's RFC 3339 time, which has nanoseconds and now and then an offset."""
    return datetime.fromisoformat(text).astimezone(UTC)


def ttl(value: timedelta) -> str:
    """Render how long a marker stays: whole seconds, at least one."""
    return f"{max(1, round(value.total_seconds()))}s"


def _delivered(bucket: str, delivery: Delivery) -> Delivered:
    tokens = delivery.reply.split(".")
    # The longer form inserts a domain and an account before the stream, and a token at the end.
    first = 4 if len(tokens) == _ACK_TOKENS_SHORT else 6
    sequence, place, timestamp, pending = map(int, tokens[first + 1 : first + 5])
    at = _EPOCH + timedelta(microseconds=timestamp // 1000)
    stored = Stored(_key(bucket, delivery.subject), _content(delivery), sequence, at)
    return Delivered(stored, place, pending)


def _table(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise TypeError(f"no table: {found!r:.80}")
    return found


def _status(delivery: Delivery) -> str:
    """Read the server's status; a header of that name in a stored message is its writer's."""
    headers = delivery.headers
    return "" if SEQUENCE in headers else headers.get(STATUS, "")


def _content(delivery: Delivery) -> bytes | None:
    block = delivery.block
    if OPERATION.encode() in block or MARKER_REASON.encode() in block:  # few have either
        headers = delivery.headers
        if headers.get(OPERATION) in _MARKERS or MARKER_REASON in headers:
            return None
    return delivery.data


def _key(bucket: str, of_subject: str) -> str:
    return of_subject.removeprefix(subject(bucket, ""))


def _refusal(error: Mapping[str, Any]) -> errors.FleetError:
    text = str(error.get("description", "refused"))
    code = error.get("err_code")
    if code in WRONG_LAST_SEQUENCE:
        found = re.search(r": (\d+)\Z", text)
        return errors.RevisionConflict(text, found=int(found[1]) if found else None)
    if code == MESSAGE_TOO_LARGE:
        return errors.ValueTooLarge(text)
    if code == STORE_FAILED and NO_ROOM in text:
        return errors.BucketFull(f"the bucket is full: {text}")
    if code == STREAM_NOT_FOUND:
        return BucketMissing(text)
    return errors.BusUnavailable(f"{text} (code {code})")


class BucketMissing(errors.BusUnavailable):
    """There is no such stream (yet)."""


def _nanoseconds(value: timedelta) -> int:
    return round(value.total_seconds() * _NANOSECONDS)
