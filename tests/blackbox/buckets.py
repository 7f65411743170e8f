"""The buckets in JetStream's own words: subjects and headers as docs/contracts.md writes them."""

import json
from dataclasses import dataclass
from typing import Any

from lab.soak.judgement.wire import Headers, Message, Wire

DESIRED, INFO, STATE, HEARTBEAT = "desired-state", "device-info", "device-state", "device-heartbeat"
ALL = (DESIRED, INFO, STATE, HEARTBEAT)
_MARKERS = ("DEL", "PURGE")


class Refused(AssertionError):
    """JetStream answered with an error."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """All of the buckets, through one connection."""

    wire: Wire

    def put(self, bucket: str, key: str, value: Any, headers: Headers | None = None) -> int:
        """Put bytes as they are, or anything else as JSON; return the sequence."""
        payload = value if isinstance(value, bytes) else json.dumps(value).encode()
        answer = _checked(self.wire.ask(f"$KV.{bucket}.{key}", payload, headers))
        return int(answer["seq"])

    def mark(self, bucket: str, key: str, ttl: str = "") -> None:
        """Put a delete marker."""
        headers = {"KV-Operation": "DEL"} | ({"Nats-TTL": ttl} if ttl else {})
        self.put(bucket, key, b"", headers)

    def get(self, bucket: str, key: str) -> bytes | None:
        """Read a value; None where nothing stands, or a marker."""
        answer = self.wire.ask(f"$JS.API.DIRECT.GET.KV_{bucket}.$KV.{bucket}.{key}")
        return None if answer.status.startswith("404") or is_marker(answer) else answer.payload

    def read(self, bucket: str, key: str) -> dict[str, Any] | None:
        """Read a value that is a JSON object."""
        found = self.get(bucket, key)
        return None if found is None else dict(json.loads(found))

    def keys(self, bucket: str, containing: str = "") -> set[str]:
        """List the keys that a value or a marker stands at."""
        told = self._api(f"STREAM.INFO.KV_{bucket}", {"subjects_filter": ">"})
        subjects = told["state"].get("subjects") or {}
        names = (subject.removeprefix(f"$KV.{bucket}.") for subject in subjects)
        return {name for name in names if containing in name}

    def sequence(self, bucket: str) -> int:
        """Read how many messages the bucket has ever taken."""
        return int(self._api(f"STREAM.INFO.KV_{bucket}")["state"]["last_seq"])

    def purge(self, bucket: str, key: str) -> None:
        """Sweep a key, with its marker."""
        self._api(f"STREAM.PURGE.KV_{bucket}", {"filter": f"$KV.{bucket}.{key}"})

    def drop(self, bucket: str) -> None:
        """Delete the whole bucket behind everybody's back."""
        self._api(f"STREAM.DELETE.KV_{bucket}")

    def _api(self, subject: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        payload = json.dumps(body).encode() if body else b""
        return _checked(self.wire.ask(f"$JS.API.{subject}", payload))


def is_marker(message: Message) -> bool:
    """Tell whether a message says that its key is gone."""
    operation = message.headers.get("KV-Operation")
    return operation in _MARKERS or "Nats-Marker-Reason" in message.headers


def _checked(answer: Message) -> dict[str, Any]:
    told = dict(json.loads(answer.payload or b"{}"))
    if answer.status or told.get("error"):
        raise Refused(f"{answer.status} {told.get('error')}")
    return told
