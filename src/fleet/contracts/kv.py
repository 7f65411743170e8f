"""
Buckets and keys: the one place that spells them.

| Bucket             | Key                             | Writer            |
|--------------------|---------------------------------|-------------------|
| `desired-state`    | `<device>.<deployment>`         | operator          |
| `device-info`      | `info.<device>`                 | agent, own key    |
| `device-state`     | `state.<device>.<deployment>`   | agent, own keys   |
| `device-heartbeat` | `heartbeat.<device>`            | agent, own key    |

Every builder has a parser, and ``parse(build(x)) == x``. Parsers raise
`errors.InvalidKey`.
"""

from functools import lru_cache
from typing import Final

from fleet import errors
from fleet.contracts.names import DeploymentName, DeviceId

BUCKET_DESIRED_STATE = "desired-state"
BUCKET_DEVICE_INFO = "device-info"
BUCKET_DEVICE_STATE = "device-state"
BUCKET_DEVICE_HEARTBEAT = "device-heartbeat"
BUCKETS = (
    BUCKET_DESIRED_STATE,
    BUCKET_DEVICE_INFO,
    BUCKET_DEVICE_STATE,
    BUCKET_DEVICE_HEARTBEAT,
)

KNOWN_NAMES: Final = 32 * 1024  # of each kind, checked before and held once

_INFO = "info"
_STATE = "state"
_HEARTBEAT = "heartbeat"
_PREFIXES = {
    BUCKET_DEVICE_INFO: _INFO,
    BUCKET_DEVICE_STATE: _STATE,
    BUCKET_DEVICE_HEARTBEAT: _HEARTBEAT,
}


def desired_state_key(device_id: DeviceId, deployment: DeploymentName) -> str:
    """Build the key of what *deployment* wants of a device."""
    return f"{_device_id(device_id)}.{_deployment_name(deployment)}"


def device_info_key(device_id: DeviceId) -> str:
    """Build the key of a device's description."""
    return f"{_INFO}.{_device_id(device_id)}"


def device_state_key(device_id: DeviceId, deployment: DeploymentName) -> str:
    """Build the key of how *deployment* fares on a device."""
    return f"{_STATE}.{_device_id(device_id)}.{_deployment_name(deployment)}"


def device_heartbeat_key(device_id: DeviceId) -> str:
    """Build the key of a device's heartbeat."""
    return f"{_HEARTBEAT}.{_device_id(device_id)}"


def parse_desired_state_key(key: str) -> tuple[DeviceId, DeploymentName]:
    """Take a `desired-state` key apart."""
    device_id, deployment = _tokens(key, 2)
    return _device(key, device_id), _deployment(key, deployment)


def parse_device_info_key(key: str) -> DeviceId:
    """Take a `device-info` key apart."""
    return _device(key, _tail(key, _INFO, 1)[0])


def parse_device_state_key(key: str) -> tuple[DeviceId, DeploymentName]:
    """Take a `device-state` key apart."""
    device_id, deployment = _tail(key, _STATE, 2)
    return _device(key, device_id), _deployment(key, deployment)


def parse_device_heartbeat_key(key: str) -> DeviceId:
    """Take a `device-heartbeat` key apart."""
    return _device(key, _tail(key, _HEARTBEAT, 1)[0])


def desired_state_filter(device_id: DeviceId) -> str:
    """Build the filter, in NATS's subject language, for all that is wanted of one device."""
    return f"{_device_id(device_id)}.>"


def device_state_keys(device_id: DeviceId) -> str:
    """Build the pattern of the keys that one device reports at: one token after its id."""
    return f"{_STATE}.{_device_id(device_id)}.*"


def device_state_filter(device_id: DeviceId) -> str:
    """Build the filter for all that stands under one device's id, whatever it is."""
    return all_keys_filter(BUCKET_DEVICE_STATE, device_id)


def all_keys_filter(bucket: str, device_id: DeviceId) -> str:
    """Build the filter for all that stands under one device's id in a bucket of devices."""
    return f"{_PREFIXES[bucket]}.{_device_id(device_id)}.>"


def writer(bucket: str, key: str) -> DeviceId | None:
    """Tell under which device's id *key* stands, be it a key of its bucket or not."""
    prefix, _, rest = key.partition(".")
    if prefix != _PREFIXES.get(bucket):
        return None
    try:
        return DeviceId(rest.partition(".")[0])
    except errors.InvalidName:
        return None


# A fleet's keys repeat few names very often.
_known_device = lru_cache(maxsize=KNOWN_NAMES)(DeviceId)
_known_deployment = lru_cache(maxsize=KNOWN_NAMES)(DeploymentName)


def _tokens(key: str, count: int) -> list[str]:
    tokens = key.split(".")
    if len(tokens) != count:
        raise errors.InvalidKey(f"{key!r} has {len(tokens)} tokens, not {count}", element=key)
    return tokens


def _tail(key: str, prefix: str, count: int) -> list[str]:
    first, *rest = _tokens(key, count + 1)
    if first != prefix:
        raise errors.InvalidKey(f"{key!r} does not begin with {prefix!r}", element=key)
    return rest


def _device(key: str, token: str) -> DeviceId:
    try:
        return _known_device(token)
    except errors.InvalidName as exc:
        raise errors.InvalidKey(f"key {key!r}: {exc}", element=key) from exc


def _deployment(key: str, token: str) -> DeploymentName:
    try:
        return _known_deployment(token)
    except errors.InvalidName as exc:
        raise errors.InvalidKey(f"key {key!r}: {exc}", element=key) from exc


def _device_id(given: str) -> DeviceId:
    """Check what isn't an id yet; an id was checked when it was made, and there are many."""
    return given if type(given) is DeviceId else DeviceId(given)


def _deployment_name(given: str) -> DeploymentName:
    return given if type(given) is DeploymentName else DeploymentName(given)
