"""
What each NATS user may do: a device its own keys and nothing else, the operator the buckets.

Every request that a device may make names its keys in the *subject*, which the
server checks; requests whose body chooses the keys (`STREAM.INFO` lists them all,
a bare `DIRECT.GET` reads any) are not granted. Reply subjects aren't checked by
the server, so nothing proves who sent a message but the bucket that it stands in.
"""

from dataclasses import dataclass

from fleet.contracts import kv
from fleet.contracts.names import DeviceId

OPERATOR_INBOX_PREFIX = "_INBOX_fleet_operator"  # no device id holds an underscore


@dataclass(frozen=True, slots=True)
class Permissions:
    """Subjects that a user may publish to and subscribe to."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def inbox_prefix(device_id: DeviceId) -> str:
    """Name the inboxes that only this device may listen to."""
    return f"_INBOX_{DeviceId(device_id)}"


def device_permissions(device_id: DeviceId) -> Permissions:
    """List what the agent of one device may do."""
    stream = f"KV_{kv.BUCKET_DESIRED_STATE}"
    wanted = f"$KV.{kv.BUCKET_DESIRED_STATE}.{kv.desired_state_filter(device_id)}"
    return Permissions(
        publish=(
            f"$JS.API.DIRECT.GET.{stream}.{wanted}",
            f"$JS.API.CONSUMER.CREATE.{stream}.*.{wanted}",
            f"$KV.{kv.BUCKET_DEVICE_INFO}.{kv.device_info_key(device_id)}",
            f"$KV.{kv.BUCKET_DEVICE_STATE}.{kv.device_state_keys(device_id)}",
            f"$KV.{kv.BUCKET_DEVICE_HEARTBEAT}.{kv.device_heartbeat_key(device_id)}",
        ),
        subscribe=(f"{inbox_prefix(device_id)}.>",),
    )


def operator_permissions() -> Permissions:
    """List what the operator may do: everything to the four buckets, nothing to other streams."""
    return Permissions(
        publish=tuple(subject for bucket in kv.BUCKETS for subject in _bucket_subjects(bucket)),
        subscribe=(f"{OPERATOR_INBOX_PREFIX}.>",),
    )


def _bucket_subjects(bucket: str) -> tuple[str, ...]:
    stream = f"KV_{bucket}"
    return (
        f"$JS.API.STREAM.CREATE.{stream}",
        f"$JS.API.STREAM.UPDATE.{stream}",
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.STREAM.PURGE.{stream}",
        f"$JS.API.DIRECT.GET.{stream}.>",
        f"$JS.API.CONSUMER.CREATE.{stream}.>",
        f"$JS.FC.{stream}.>",
        f"$KV.{bucket}.>",
    )
