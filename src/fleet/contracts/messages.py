"""
The messages in the buckets: JSON, UTF-8, snake_case, RFC 3339 UTC timestamps.

An envelope ignores fields that it doesn't know, so that an older agent
survives a newer operator. The key beats the payload: a message that names
another device or deployment than its key is undecodable. Only the fields that
a reader can't do without are required, since agents of another make or age
take part.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from fleet import errors
from fleet.contracts import kv
from fleet.contracts.names import DeploymentName, DeviceId

# A time without an offset is refused: it could not be compared with the server's.
Timestamp = Annotated[datetime, msgspec.Meta(tz=True)]


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every message: frozen, compared by value, defaults left out on the wire."""


class Owner(Message, frozen=True):
    """The custom resource that a desired state was made from."""

    namespace: str
    name: str
    uid: str
    generation: int = 0


class ReconcileScore(Message, frozen=True):
    """What one deployment wants of one device (`desired-state`)."""

    type: str
    data: dict[str, Any]
    revision: str
    owner: Owner | None = None


class Inventory(Message, frozen=True):
    """What a device is made of. Sizes are in bytes; *runtimes* maps name to version."""

    hostname: str = ""
    arch: str = ""
    os: str = ""
    kernel: str = ""
    cpus: int = 0
    memory_bytes: int = 0
    disk_bytes: int = 0
    runtimes: dict[str, str] = {}


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


class Problem(Message, frozen=True):
    """Something that keeps a runtime from working: a CamelCase *reason* and a sentence."""

    reason: str
    message: str = ""


class DeviceInfo(Message, frozen=True):
    """What a device says of itself (`device-info`)."""

    device_id: DeviceId
    labels: dict[str, str]
    instance: str = ""
    inventory: Inventory = Inventory()
    agent_version: str = ""
    score_types: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    updated_at: Timestamp | None = None


class Phase(StrEnum):
    """How a deployment fares on a device."""

    PENDING = "Pending"
    RUNNING = "Running"
    FAILED = "Failed"


class ServiceState(Message, frozen=True):
    """How one service fares. *state* is the runtime's word; *image* a digest."""

    name: str
    state: str = ""
    image: str = ""
    restarts: int = 0


class StateError(Message, frozen=True):
    """Why a deployment failed, for the person who reads its status."""

    reason: str
    message: str = ""
    service: str = ""


class DeploymentState(Message, frozen=True):
    """How one deployment fares on one device (`device-state`)."""

    device_id: DeviceId
    deployment: DeploymentName
    phase: Phase
    revision: str
    services: tuple[ServiceState, ...] = ()
    error: StateError | None = None
    updated_at: Timestamp | None = None


class HeartbeatPayload(Message, frozen=True):
    """A sign of life (`device-heartbeat`)."""

    device_id: DeviceId
    at: Timestamp
    instance: str = ""


M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Codec(Generic[M]):
    """How the values of one bucket are written and read."""

    bucket: str
    message: type[M]
    parse_key: Callable[[str], object]
    key_of: Callable[[str, M], str]

    def encode(self, value: M) -> bytes:
        """Write *value* as JSON."""
        return msgspec.json.encode(value, enc_hook=_encode_name)

    def decode(self, key: str, data: bytes) -> M:
        """
        Read the value that stands at *key*.

        :raises errors.UndecodableValue: not such a message, or one that speaks of another key.
        """
        self.check_key(key)
        try:
            value = msgspec.json.decode(data, type=self.message, dec_hook=_decode_name)
            owner = self.key_of(key, value)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise errors.UndecodableValue(f"{self.bucket}/{key}: {exc}", element=key) from exc
        if owner != key:
            raise errors.UndecodableValue(
                f"{self.bucket}/{key}: the message is about {owner!r}", element=key
            )
        return value

    def check_key(self, key: str) -> None:
        """
        Refuse a key that isn't one of this bucket's.

        :raises errors.UndecodableValue: whatever stands there isn't ours to read.
        """
        try:
            self.parse_key(key)
        except errors.InvalidKey as exc:
            raise errors.UndecodableValue(f"{self.bucket}: {exc}", element=key) from exc


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
)
DEVICE_STATE = Codec(
    kv.BUCKET_DEVICE_STATE,
    DeploymentState,
    kv.parse_device_state_key,
    lambda _, value: kv.device_state_key(value.device_id, value.deployment),
)
DEVICE_HEARTBEAT = Codec(
    kv.BUCKET_DEVICE_HEARTBEAT,
    HeartbeatPayload,
    kv.parse_device_heartbeat_key,
    lambda _, value: kv.device_heartbeat_key(value.device_id),
)
