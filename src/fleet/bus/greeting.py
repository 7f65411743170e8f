"""What a server says first: an INFO line, before anybody has said who he is."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from fleet import errors

MAX_BYTES: Final = 64 * 1024
DEFAULT_PAYLOAD: Final = 1024 * 1024
_INFO: Final = b"INFO "


class Greeting(msgspec.Struct, frozen=True):
    """The part of it that matters to us; a field of another type makes it none."""

    max_payload: Annotated[int, Meta(gt=0)] = DEFAULT_PAYLOAD
    headers: bool = False
    auth_required: bool = False
    nonce: str = ""
    tls_required: bool = False
    tls_available: bool = False
    server_name: str = ""
    version: str = ""

    @property
    def offers_tls(self) -> bool:
        """Whether the server would encrypt the connection."""
        return self.tls_required or self.tls_available


def read(line: bytes) -> Greeting:
    """
    Read the line of a server.

    :raises errors.BusUnavailable: it is none of NATS, or none that we can work with.
    """
    if not line.startswith(_INFO):
        raise errors.BusUnavailable(f"no NATS server: it says {line[:80]!r}")
    try:
        greeting = msgspec.json.decode(line[len(_INFO) :].strip(), type=Greeting)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise errors.BusUnavailable(f"no greeting of NATS: {exc}") from exc
    if not greeting.headers:
        raise errors.BusUnavailable("the server knows no headers: it is too old")
    return greeting


def line(greeting: Greeting) -> bytes:
    """
    Render it for nats-py, once the connection is as it shall be.

    Nothing in it has nats-py encrypt the connection, which is done, or look for other servers.
    """
    told = {
        "max_payload": greeting.max_payload,
        "headers": greeting.headers,
        "auth_required": greeting.auth_required,
        "version": greeting.version,
    }
    nonce = {"nonce": greeting.nonce} if greeting.nonce else {}
    return _INFO + msgspec.json.encode(told | nonce) + b"\r\n"
