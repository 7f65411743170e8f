"""
NATS spoken by hand, over a socket: nothing that Fleet is made of takes part.

One connection, blocking, for one thread. What arrives while an answer is awaited is kept for later.
"""

import json
import secrets
import socket
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

END = b"\r\n"
ANSWER_WITHIN = 10.0
Headers = Mapping[str, str]


class Lost(OSError):
    """The connection ended, or the server said that something is wrong."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it came."""

    subject: str
    payload: bytes
    status: str = ""
    headers: Headers = field(default_factory=dict)


class Wire:
    """One connection to NATS."""

    def __init__(self, url: str, credentials: Path, inbox: str = "_INBOX") -> None:
        server, user = urlsplit(url), json.loads(credentials.read_text())
        self._inbox = f"{inbox}.{secrets.token_hex(8)}"
        self._asked = self._subscribed = 0
        self._read = b""
        self._kept: deque[Message] = deque()
        self._socket = socket.create_connection((server.hostname, server.port), ANSWER_WITHIN)
        try:
            self._greet({"user": user["user"], "pass": user["password"]})
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def subscribe(self, subject: str) -> None:
        """Ask for what is sent to *subject*."""
        self._subscribed += 1
        self._send(f"SUB {subject} {self._subscribed}".encode() + END)

    def publish(
        self, subject: str, payload: bytes = b"", headers: Headers | None = None, reply: str = ""
    ) -> None:
        """Send a message."""
        lines = "".join(f"{key}: {value}\r\n" for key, value in (headers or {}).items())
        head = f"NATS/1.0\r\n{lines}\r\n".encode() if headers else b""
        sizes = f"{len(head)} {len(head) + len(payload)}" if headers else str(len(payload))
        words = ("HPUB" if headers else "PUB", subject, *([reply] if reply else []), sizes)
        line = " ".join(words).encode(errors="surrogateescape")  # a subject may be any bytes
        self._send(line + END + head + payload + END)

    def ask(self, subject: str, payload: bytes = b"", headers: Headers | None = None) -> Message:
        """Send a request, and return its answer."""
        self._asked += 1
        reply = f"{self._inbox}.{self._asked}"
        self.publish(subject, payload, headers, reply)
        end = time.monotonic() + ANSWER_WITHIN
        while (left := end - time.monotonic()) > 0:
            message = self._next(left)
            if message is not None and message.subject == reply:
                return message
            if message is not None and not message.subject.startswith(self._inbox):
                self._kept.append(message)
        raise Lost(f"no answer to {subject} within {ANSWER_WITHIN:g} s")

    def receive(self, within: float) -> Message | None:
        """Return the next message, if one comes."""
        return self._kept.popleft() if self._kept else self._next(within)

    def _greet(self, user: Mapping[str, str]) -> None:
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True}
        self._line(ANSWER_WITHIN)  # INFO
        self._send(b"CONNECT " + json.dumps({**options, **user}).encode() + END)
        self.subscribe(f"{self._inbox}.*")

    def _next(self, within: float) -> Message | None:
        """Read on to a message, and answer the server's own questions on the way."""
        end = time.monotonic() + within
        while (line := self._line(max(end - time.monotonic(), 0.001))) is not None:
            verb, _, rest = line.partition(b" ")
            if verb in {b"MSG", b"HMSG"}:
                return self._message(verb, rest.decode().split())
            if verb == b"PING":
                self._send(b"PONG" + END)
            elif verb == b"-ERR":
                raise Lost(line.decode())
        return None

    def _message(self, verb: bytes, words: list[str]) -> Message:
        size = int(words[-1])
        body = self._exactly(size + len(END))[:size]
        if verb == b"MSG":
            return Message(words[0], body)
        head, payload = body[: int(words[-2])], body[int(words[-2]) :]
        first, *lines = head.decode().strip().splitlines()
        pairs = (line.partition(":") for line in lines)
        headers = {key: value.strip() for key, _, value in pairs}
        return Message(words[0], payload, first.removeprefix("NATS/1.0").strip(), headers)

    def _line(self, within: float) -> bytes | None:
        end = time.monotonic() + within
        while END not in self._read:
            left = end - time.monotonic()
            if left <= 0 or not self._fill(left):
                return None
        line, _, self._read = self._read.partition(END)
        return line

    def _exactly(self, size: int) -> bytes:
        while len(self._read) < size:
            if not self._fill(ANSWER_WITHIN):
                raise Lost("half a message")
        found, self._read = self._read[:size], self._read[size:]
        return found

    def _fill(self, within: float) -> bool:
        self._socket.settimeout(within)
        try:
            more = self._socket.recv(1 << 16)
        except TimeoutError:
            return False
        if not more:
            raise Lost("the server hung up")
        self._read += more
        return True

    def _send(self, data: bytes) -> None:
        self._socket.settimeout(ANSWER_WITHIN)
        self._socket.sendall(data)
