"""
Reads buckets as they are: straight from the server, over a connection and code of its own.

It asks the stream's leader for one message after the other, so a replica that lags can't mislead.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from lab.soak.hub.site import Site
from lab.soak.judgement.verdict import Written
from lab.soak.judgement.wire import Lost, Wire

_NOT_FOUND = 404


def read(site: Site, bucket: str) -> Mapping[str, Written]:
    """
    Read the last write of each key of *bucket* from the first server of *site* that answers.

    :raises Lost: none does.
    """
    reasons = []
    for url in site.urls:
        try:
            with Wire(url, site.admin.credentials, authority=site.authority) as wire:
                return dict(_entries(wire, bucket))
        except OSError as exc:
            reasons.append(f"{url}: {exc}")
    raise Lost("; ".join(reasons))


def _entries(wire: Wire, bucket: str) -> Iterator[tuple[str, Written]]:
    prefix, sequence = f"$KV.{bucket}.", 0
    while message := _next(wire, bucket, sequence + 1):
        sequence = int(message["seq"])
        yield str(message["subject"]).removeprefix(prefix), Written(_number(message), sequence)


def _next(wire: Wire, bucket: str, sequence: int) -> dict[str, Any] | None:
    asked = json.dumps({"seq": sequence, "next_by_subj": f"$KV.{bucket}.>"}).encode()
    answer = wire.ask(f"$JS.API.STREAM.MSG.GET.KV_{bucket}", asked)
    reply = json.loads(answer.payload or b"{}")
    if reply.get("error", {}).get("code") == _NOT_FOUND:
        return None
    if "message" not in reply:
        raise Lost(f"{bucket}: {answer.status} {reply.get('error', '')}")
    return dict(reply["message"])


def _number(message: Mapping[str, Any]) -> int | None:
    if "KV-Operation" in base64.b64decode(message.get("hdrs", "")).decode():
        return None
    return int(json.loads(base64.b64decode(message["data"]))["revision"])
