"""
What is wanted of a NATS server, and its configuration file. Decides only: no I/O.

The rendering is deterministic, so that comparing two files is comparing two
wants. Passwords never stand in it: a user carries the bcrypt hash.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fleet.contracts import kv

CLIENT_PORT = 4222
MEBIBYTE = 1024 * 1024
REPLAY = 32 * MEBIBYTE  # what flow control lets one replay have on its way
KEY_BYTES = 2 * 1024  # of taste: an ordinary value with what the server adds to it
DEVICE_BYTES = 64 * 1024  # of taste: thirty ordinary values of one device, in one bucket


@dataclass(frozen=True, slots=True)
class NatsUser:
    """
    Someone who may connect, by the bcrypt hash of a password.

    *publish* and *subscribe* are subjects; None allows every subject, an empty tuple none.
    """

    name: str
    password_hash: str
    publish: tuple[str, ...] | None = None
    subscribe: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class NatsServer:
    """A single NATS server with JetStream. *address* and *store* are as the server sees them."""

    name: str
    store: str
    users: tuple[NatsUser, ...]
    address: str = "0.0.0.0"
    port: int = CLIENT_PORT
    monitor: str = "127.0.0.1:8222"  # tells what anybody may know; loopback all the same
    max_payload: int = MEBIBYTE
    max_file_store: int = 4096 * MEBIBYTE
    max_memory_store: int = 64 * MEBIBYTE  # every bucket of Fleet is in files
    max_connections: int = 65536
    max_pending: int = 64 * MEBIBYTE


def render(server: NatsServer) -> str:
    """Render the configuration file of *server*."""
    return "\n".join(
        [
            "# Made by Fleet; changes by hand are undone.",
            f"server_name: {_text(server.name)}",
            f"listen: {_text(f'{server.address}:{server.port}')}",
            f"http: {_text(server.monitor)}",
            f"max_payload: {server.max_payload}",
            f"max_connections: {server.max_connections}",
            f"max_pending: {server.max_pending}",
            "jetstream {",
            f"  store_dir: {_text(server.store)}",
            f"  max_file_store: {server.max_file_store}",
            f"  max_memory_store: {server.max_memory_store}",
            "}",
            "authorization {",
            "  users: [",
            *(f"    {line}" for line in _users(server.users)),
            "  ]",
            "}",
            "",
        ]
    )


def pending_for(devices: int) -> int:
    """
    Compute how much may wait for one connection of a fleet of so many *devices*.

    The operator hears of all of them at once, while it replays; who has more waiting is dropped.
    """
    return max(2 * REPLAY, REPLAY + 8 * devices * KEY_BYTES)


def bucket_bytes_for(devices: int) -> int:
    """Compute the ``max_bytes`` of each bucket of a fleet of so many *devices*."""
    return max(256 * MEBIBYTE, devices * DEVICE_BYTES)


def file_store_for(devices: int) -> int:
    """Compute the ``max_file_store`` that all buckets fit into; each reserves what it may hold."""
    return max(4096 * MEBIBYTE, 2 * len(kv.BUCKETS) * bucket_bytes_for(devices))


def _users(users: Iterable[NatsUser]) -> Iterable[str]:
    for user in sorted(users, key=lambda user: user.name):
        yield _text(_entry(user))


def _entry(user: NatsUser) -> dict[str, Any]:
    entry: dict[str, Any] = {"user": user.name, "password": user.password_hash}
    permissions = {
        verb: {"allow": list(subjects)} if subjects else {"deny": ">"}
        for verb, subjects in (("publish", user.publish), ("subscribe", user.subscribe))
        if subjects is not None
    }
    if permissions:
        entry["permissions"] = permissions
    return entry


def _text(value: Any) -> str:
    # The server's configuration language takes JSON for its quoted strings, lists and maps.
    return json.dumps(value)
