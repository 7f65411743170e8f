"""
The messages in the buckets: JSON, UTF-8, snake_case, RFC 3339 UTC timestamps.

An envelope ignores fields that it doesn't know, so that an older agent
survives a newer operator. The key beats the payload: a message that names
another device or deployment than its key is undecodable. Only the fields that
a reader can't do without are required, since agents of another make or age
take part.

`bounds` says how much there may be of anything. What people read is cut when a message
is made as when it is decoded, so that nothing after it has to; `Codec.timed` puts the
server's time in place of one that can't be right.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import msgspec
from msgspec import Meta

from fleet import errors
from fleet.contracts import bounds, kv
from fleet.contracts.bounds import Identity, Int64
from fleet.contracts.names import DeploymentName, DeviceId

# A time without an offset could not be compared with the server's.
Timestamp = Annotated[datetime, Meta(tz=True)]
NO_TIME = datetime.min.replace(tzinfo=UTC)  # where something stands that is none

_SOME = Meta(max_length=bounds.MAX_ITEMS)


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every message: frozen, compared by value, defaults left out on the wire."""


class _Shown(Message, frozen=True):
    """A message of which people read some fields: *shown* says how much of each."""

    shown: ClassVar[dict[str, int]]

    def __post_init__(self) -> None:
        for field, most in self.shown.items():
            told = getattr(self, field)
            fit = _fit(told, most)
            if fit is not told:
                msgspec.structs.force_setattr(self, field, fit)


def _fit(told: Any, most: int) -> Any:
    if isinstance(told, str):
        return bounds.shown(told, most)
    fit = {bounds.shown(key, most): bounds.shown(value, most) for key, value in told.items()}
    return told if fit == told else fit


class Owner(Message, frozen=True):
    """The custom resource that a desired state was made from."""

    namespace: Identity
    name: Identity
    uid: Identity
    generation: Int64 = 0


class ReconcileScore(Message, frozen=True):
    """What one deployment wants of one device (`desired-state`)."""

    type: Identity
    data: dict[str, Any]
    revision: Identity
    owner: Owner | None = None


class Inventory(_Shown, frozen=True):
    """What a device is made of. Sizes are in bytes; *runtimes* maps name to version."""

    shown: ClassVar = dict.fromkeys(
        ("hostname", "arch", "os", "kernel", "runtimes"), bounds.MAX_WORD
    )

    hostname: str = ""
    arch: str = ""
    os: str = ""
    kernel: str = ""
    cpus: Int64 = 0
    memory_bytes: Int64 = 0
    disk_bytes: Int64 = 0
    runtimes: Annotated[dict[str, str], _SOME] = {}


# The reason of the problem that an agent tells when another one writes its keys too.
DUPLICATE_AGENT = "DuplicateAgent"
# A device with one of these does its work.
HARMLESS_PROBLEMS = frozenset(
    {
        DUPLICATE_AGENT,
        errors.DamagedJournal.reason,
        errors.InternalError.reason,  # contained: the rest of the device works on
        errors.JournalUnavailable.reason,
    }
)


class Problem(_Shown, frozen=True):
    """Something that keeps a runtime from working: a CamelCase *reason* and a sentence."""

    shown: ClassVar = {"reason": bounds.MAX_WORD, "message": bounds.MAX_TEXT}

    reason: str
    message: str = ""


class DeviceInfo(_Shown, frozen=True):
    """What a device says of itself (`device-info`)."""

    shown: ClassVar = {"agent_version": bounds.MAX_WORD}

    device_id: DeviceId
    labels: Annotated[dict[str, str], _SOME]
    instance: Identity = ""
    inventory: Inventory = Inventory()
    agent_version: str = ""
    score_types: Annotated[tuple[Identity, ...], _SOME] = ()
    problems: Annotated[tuple[Problem, ...], _SOME] = ()
    updated_at: Timestamp | None = None


class Phase(StrEnum):
    """How a deployment fares on a device."""

    PENDING = "Pending"
    RUNNING = "Running"
    FAILED = "Failed"


class ServiceState(_Shown, frozen=True):
    """How one service fares. *state* is the runtime's word; *image* a digest."""

    shown: ClassVar = dict.fromkeys(("name", "state", "image"), 2 * bounds.MAX_WORD)

    name: str
    state: str = ""
    image: str = ""
    restarts: Int64 = 0


class StateError(_Shown, frozen=True):
    """Why a deployment failed, for the person who reads its status."""

    shown: ClassVar = {
        "reason": bounds.MAX_WORD,
        "message": bounds.MAX_TEXT,
        "service": bounds.MAX_WORD,
    }

    reason: str
    message: str = ""
    service: str = ""


class DeploymentState(Message, frozen=True):
    """How one deployment fares on one device (`device-state`)."""

    device_id: DeviceId
    deployment: DeploymentName
    phase: Phase
    revision: Identity
    services: Annotated[tuple[ServiceState, ...], _SOME] = ()
    error: StateError | None = None
    updated_at: Timestamp | None = None


class HeartbeatPayload(Message, frozen=True):
    """A sign of life (`device-heartbeat`)."""

    device_id: DeviceId
    at: Timestamp
    instance: Identity = ""


M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Codec(Generic[M]):
    """How the values of one bucket are written and read; *time* is the field with the device's."""

    bucket: str
    message: type[M]
    parse_key: Callable[[str], object]
    key_of: Callable[[str, M], str]
    time: str = ""

    def encode(self, value: M) -> bytes:
        """Write *value* as JSON."""
        return msgspec.json.encode(value, enc_hook=_encode_name)

    def decode(self, key: str, data: bytes) -> M:
        """
        Read the value that stands at *key*.

        :raises errors.UndecodableValue: not such a message, more than `bounds` allow, or one
            that speaks of another key.
        """
        self.check_key(key)
        try:
            bounds.check_value(self.bucket, data)
            value = self._decode(data)
            owner = self.key_of(key, value)
        except (msgspec.MsgspecError, UnicodeDecodeError, errors.ValueTooLarge) as exc:
            why = bounds.shown(f"{self.bucket}/{key}: {exc}")
            raise errors.UndecodableValue(why, element=key) from exc
        if owner != key:
            raise errors.UndecodableValue(
                f"{self.bucket}/{key}: the message is about {owner!r}", element=key
            )
        return value

    def timed(self, value: M, at: datetime) -> M:
        """Put *at*, the server's time of the message, in place of one that can't be right."""
        told = getattr(value, self.time) if self.time else None
        if told is None or bounds.is_near(told, at):
            return value
        return msgspec.structs.replace(value, **{self.time: at})

    def check_key(self, key: str) -> None:
        """
        Refuse a key that isn't one of this bucket's.

        :raises errors.UndecodableValue: whatever stands there isn't ours to read.
        """
        try:
            self.parse_key(key)
        except errors.InvalidKey as exc:
            why = bounds.shown(f"{self.bucket}: {exc}")
            raise errors.UndecodableValue(why, element=key) from exc

    def _decode(self, data: bytes) -> M:
        try:
            return self._decode_all(data)
        except msgspec.ValidationError:
            told = _raw_fields(data).get(self.time)
            if told is None or _is_time(told):
                raise
        fields = {**_raw_fields(data), self.time: NO_TIME}
        return self._decode_all(msgspec.json.encode(fields))

    def _decode_all(self, data: bytes) -> M:
        return msgspec.json.decode(data, type=self.message, dec_hook=_decode_name)


def _raw_fields(data: bytes) -> dict[str, Any]:
    return msgspec.json.decode(data, type=dict[str, msgspec.Raw])


def _is_time(told: msgspec.Raw) -> bool:
    try:
        msgspec.json.decode(told, type=Timestamp | None)
    except msgspec.MsgspecError:
        return False
    return True


def _encode_name(value: Any) -> str:
    if isinstance(value, DeviceId | DeploymentName):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a message")


def _decode_name(type_: type, value: Any) -> Any:
    if not isinstance(value, str):
        raise TypeError(f"a name is a string, not {type(value).__name__}")
    return type_(value)


DESIRED_STATE = Codec(
    kv.BUCKET_DESIRED_STATE,
    ReconcileScore,
    kv.parse_desired_state_key,
    lambda key, _: key,
)
DEVICE_INFO = Codec(
    kv.BUCKET_DEVICE_INFO,
    DeviceInfo,
    kv.parse_device_info_key,
    lambda _, value: kv.device_info_key(value.device_id),
    time="updated_at",
)
DEVICE_STATE = Codec(
    kv.BUCKET_DEVICE_STATE,
    DeploymentState,
    kv.parse_device_state_key,
    lambda _, value: kv.device_state_key(value.device_id, value.deployment),
    time="updated_at",
)
DEVICE_HEARTBEAT = Codec(
    kv.BUCKET_DEVICE_HEARTBEAT,
    HeartbeatPayload,
    kv.parse_device_heartbeat_key,
    lambda _, value: kv.device_heartbeat_key(value.device_id),
    time="at",
)
