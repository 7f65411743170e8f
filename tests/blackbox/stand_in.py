"""
A device of another make: written from docs/contracts.md alone, and sharing no line with Fleet.

It runs nothing. It registers, heartbeats, reads what is wanted of it, and answers with the state
that the test tells it to have. Its messages carry fields of a future that nobody knows yet.
"""

import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.soak.judgement.wire import Message, Wire
from tests.blackbox.buckets import DESIRED, HEARTBEAT, INFO, STATE, Buckets, Refused, is_marker

HEARTBEAT_EVERY = 4.0  # three in a silence of the lab
IDLE_HEARTBEAT = 30.0
TICK = 0.1
FUTURE: dict[str, Any] = {"colour": "teal", "nested": {"of": ["the", "future"]}, "schema": 9}
Envelope = dict[str, Any]
Answer = Callable[[str, Envelope], dict[str, Any] | None]


def running(deployment: str, wanted: Envelope) -> dict[str, Any]:
    """Answer that all is well."""
    return {"phase": "Running", "revision": wanted["revision"]}


def failing(reason: str, message: str, service: str = "page") -> Answer:
    """Answer that it failed, and why."""
    error = {"reason": reason, "message": message, "service": service, **FUTURE}

    def answer(deployment: str, wanted: Envelope) -> dict[str, Any]:
        return {"phase": "Failed", "revision": wanted["revision"], "error": error}

    return answer


def mute(deployment: str, wanted: Envelope) -> None:
    """Answer nothing."""


@dataclass
class StandIn:
    """One such device, in a thread of its own."""

    url: str
    credentials: Path
    id: str
    labels: dict[str, str]
    answer: Answer = running
    instance: str = field(default_factory=lambda: secrets.token_hex(4))
    desired: dict[str, Envelope] = field(default_factory=dict)
    """what is wanted of it, by deployment"""
    markers: set[str] = field(default_factory=set)
    """the deployments whose delete markers it has read"""
    twins: int = 0
    """how often somebody else had written its heartbeat"""
    beats: int = 0
    silent: bool = False
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ends = threading.Event()
        self._retell = threading.Event()
        self._sequence: int | None = None
        self._thread = threading.Thread(target=self._live, name=self.id, daemon=True)

    def start(self) -> None:
        """Connect, register and go on."""
        self._thread.start()

    def stop(self) -> None:
        """Fall silent for good, without a word."""
        self._ends.set()
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()

    def answer_with(self, answer: Answer) -> None:
        """Change its mind, and tell all its states again."""
        self.answer = answer
        self._retell.set()

    def _live(self) -> None:
        while not self._ends.is_set():
            try:
                with Wire(self.url, self.credentials) as wire:
                    self._serve(wire, Buckets(wire))
            except (OSError, Refused) as exc:
                self.errors.append(repr(exc))
            self._ends.wait(TICK)

    def _serve(self, wire: Wire, buckets: Buckets) -> None:
        self._sequence = None
        buckets.put(INFO, f"info.{self.id}", self._info())
        self._watch(wire)
        heard, beat_at = time.monotonic(), 0.0
        while not self._ends.is_set() and time.monotonic() - heard < 2.5 * IDLE_HEARTBEAT:
            if time.monotonic() >= beat_at and not self.silent:
                self._beat(buckets)
                beat_at = time.monotonic() + HEARTBEAT_EVERY
            if self._retell.is_set():
                self._retell.clear()
                for deployment, wanted in list(self.desired.items()):
                    self._tell(buckets, deployment, wanted)
            message = wire.receive(TICK)
            if message is not None:
                heard = time.monotonic()
                self._hear(buckets, message)

    def _watch(self, wire: Wire) -> None:
        """Make a consumer of its own keys, whose name and filter stand in the subject."""
        name, inbox = f"{self.id}-{secrets.token_hex(4)}", f"_INBOX_{self.id}.{self.instance}"
        wire.subscribe(inbox)
        own = f"$KV.{DESIRED}.{self.id}.>"
        config = {
            "name": name,
            "filter_subject": own,
            "deliver_subject": inbox,
            "deliver_policy": "last_per_subject",
            "ack_policy": "none",
            "idle_heartbeat": int(IDLE_HEARTBEAT * 1e9),
            "inactive_threshold": int(60e9),
            "mem_storage": True,
        }
        body = json.dumps({"stream_name": f"KV_{DESIRED}", "config": config}).encode()
        made = wire.ask(f"$JS.API.CONSUMER.CREATE.KV_{DESIRED}.{name}.{own}", body)
        told = json.loads(made.payload or b"{}")
        if made.status or told.get("error"):
            raise Refused(f"{made.status} {told.get('error')}")

    def _hear(self, buckets: Buckets, message: Message) -> None:
        prefix = f"$KV.{DESIRED}.{self.id}."
        if not message.subject.startswith(prefix):
            return  # an idle heartbeat
        deployment = message.subject.removeprefix(prefix)
        if is_marker(message):
            self.desired.pop(deployment, None)
            self.markers.add(deployment)
            buckets.mark(STATE, f"state.{self.id}.{deployment}", ttl="1h")
            return
        wanted = _read(message.payload)
        self.markers.discard(deployment)
        if wanted is None:
            error = {"reason": "InvalidDesiredState", "message": "it can't be read"}
            self._put(buckets, deployment, {"phase": "Failed", "revision": "", "error": error})
            return
        self.desired[deployment] = wanted
        self._tell(buckets, deployment, wanted)

    def _tell(self, buckets: Buckets, deployment: str, wanted: Envelope) -> None:
        told = self.answer(deployment, wanted)
        if told is not None:
            self._put(buckets, deployment, told)

    def _put(self, buckets: Buckets, deployment: str, told: dict[str, Any]) -> None:
        state = {"device_id": self.id, "deployment": deployment, "updated_at": _now(), **told}
        buckets.put(STATE, f"state.{self.id}.{deployment}", state | FUTURE)

    def _beat(self, buckets: Buckets) -> None:
        """Put the heartbeat where its own last one stands; somebody else's is a twin's."""
        key = f"heartbeat.{self.id}"
        beat = {"device_id": self.id, "instance": self.instance, "at": _now()} | FUTURE
        expected = str(self._sequence)
        headers = {"Nats-Expected-Last-Subject-Sequence": expected} if self._sequence else None
        try:
            self._sequence = buckets.put(HEARTBEAT, key, beat, headers)
        except Refused as refused:
            if "wrong last sequence" not in str(refused):
                raise
            self.twins += 1
            self._sequence = buckets.put(HEARTBEAT, key, beat)
        self.beats += 1

    def _info(self) -> dict[str, Any]:
        inventory = {"hostname": self.id, "arch": "riscv64", "os": "other", **FUTURE}
        return {
            "device_id": self.id,
            "instance": self.instance,
            "labels": self.labels,
            "inventory": inventory,
            "score_types": ["PodmanV0", "AbacusV7"],
            "updated_at": _now(),
            **FUTURE,
        }


def _read(payload: bytes) -> Envelope | None:
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    readable = isinstance(found, dict) and isinstance(found.get("revision"), str)
    return found if readable else None


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
