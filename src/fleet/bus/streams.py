"""
The streams behind the buckets: made by the operator, and kept as they must be.

Roll-ups stay off, and with them marker TTLs of the stream (the server would turn
roll-ups back on): one message with ``Nats-Rollup: all`` wipes a bucket that all
devices share. Files, since a memory stream doesn't survive a server's restart.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from fleet.bus import jetstream
from fleet.contracts import bounds, kv

log = structlog.get_logger()

MAX_BYTES = 256 * 1024 * 1024
MAX_CONSUMERS = 100_000  # the server's default refuses the 1,001st device


@dataclass(frozen=True, slots=True)
class Sizing:
    """What differs between installations. *max_bytes* is per bucket."""

    replicas: int = 1
    max_bytes: int = MAX_BYTES


class Api(Protocol):
    """Something that answers requests of JetStream's API, such as `nats.NatsBus`."""

    async def ask(self, subject: str, payload: bytes = b"") -> dict[str, Any]:
        """
        Send a request and read the answer.

        :raises errors.BusUnavailable: no answer, or a refusal.
        """


def wanted(bucket: str, sizing: Sizing) -> dict[str, Any]:
    """Describe the stream behind *bucket*, in JetStream's words."""
    return {
        "name": jetstream.stream(bucket),
        "subjects": [jetstream.subject(bucket, ">")],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_msgs_per_subject": 1,
        "max_msg_size": bounds.MAX_MESSAGE_BYTES[bucket],
        "max_bytes": sizing.max_bytes,
        "max_consumers": MAX_CONSUMERS,
        "num_replicas": sizing.replicas,
        "allow_direct": True,
        "allow_msg_ttl": True,
        "allow_rollup_hdrs": False,
        "deny_delete": True,
    }


def differences(bucket: str, found: Mapping[str, Any], sizing: Sizing) -> dict[str, Any]:
    """Tell which settings of a stream aren't as wanted; the server leaves falsehoods out."""
    differing = {
        setting: value
        for setting, value in wanted(bucket, sizing).items()
        if found.get(setting, False if value is False else None) != value
    }
    if found.get("subject_delete_marker_ttl"):
        differing["subject_delete_marker_ttl"] = 0
    return differing


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a bucket is used."""

    bytes: int
    max_bytes: int

    @property
    def share(self) -> float:
        """The part that is used, from 0 to 1; 0 where there is no limit."""
        return self.bytes / self.max_bytes if self.max_bytes > 0 else 0.0


async def usage(api: Api) -> dict[str, Usage]:
    """
    Read how full each bucket is.

    :raises errors.BusUnavailable: the server doesn't answer, or has no such stream.
    """
    return {bucket: await _usage(api, bucket) for bucket in kv.BUCKETS}


async def _usage(api: Api, bucket: str) -> Usage:
    info = await api.ask(jetstream.stream_subject("INFO", bucket))
    most = jetstream.stream_config(info).get("max_bytes", -1)
    return Usage(jetstream.stream_bytes(info), most)


async def ensure_streams(api: Api, sizing: Sizing | None = None) -> tuple[str, ...]:
    """
    Make the four streams, or put their settings right; name the buckets that had to be touched.

    :raises errors.BusUnavailable: the server doesn't answer, or refuses a setting.
    """
    sizing = sizing or Sizing()
    return tuple([bucket for bucket in kv.BUCKETS if await _ensure(api, bucket, sizing)])


async def _ensure(api: Api, bucket: str, sizing: Sizing) -> bool:
    try:
        info = await api.ask(jetstream.stream_subject("INFO", bucket))
    except jetstream.BucketMissing:
        await send(api, "CREATE", bucket, wanted(bucket, sizing))
        log.info("bucket made", bucket=bucket)
        return True
    found = jetstream.stream_config(info)
    differing = differences(bucket, found, sizing)
    if differing:
        await send(api, "UPDATE", bucket, found | differing)
        log.warning("bucket corrected", bucket=bucket, settings=sorted(differing))
    return bool(differing)


async def send(api: Api, verb: str, bucket: str, config: Mapping[str, Any]) -> None:
    """Ask to CREATE or UPDATE the stream of *bucket*."""
    await api.ask(jetstream.stream_subject(verb, bucket), json.dumps(config).encode())
