"""
A real nats-server for tests: on loopback, a free port, a store of its own.

It can be killed and started again on the same port and store, or with its store
wiped, and takes a list of users with what they may do.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fleet.contracts.names import DeviceId
from fleet.contracts.permissions import (
    OPERATOR_INBOX_PREFIX,
    Permissions,
    device_permissions,
    inbox_prefix,
    operator_permissions,
)
from lab.soak.hub.certificates import Certificates
from lab.soak.hub.server import Server
from lab.system import ports


@dataclass(frozen=True, slots=True)
class User:
    """Someone who may connect; without *permissions*, to everything."""

    name: str
    password: str = "secret"
    permissions: Permissions | None = None
    inbox_prefix: str = "_INBOX"


ADMIN = User("admin")
OPERATOR = User("operator", permissions=operator_permissions(), inbox_prefix=OPERATOR_INBOX_PREFIX)


def device(device_id: str) -> User:
    """Make the user of one device's agent."""
    name = DeviceId(device_id)
    return User(name, permissions=device_permissions(name), inbox_prefix=inbox_prefix(name))


class NatsServer(Server):
    """One server and its directory. Kill it before the directory goes."""

    def __init__(
        self,
        directory: Path,
        users: Sequence[User],
        *,
        tls: Certificates | None = None,
        more: str = "",
    ) -> None:
        super().__init__(directory / "nats.conf", ports.free())
        self._directory = directory
        self.config.write_text(_configuration(directory, self.port, tuple(users), tls) + more)

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def store(self) -> Path:
        """JetStream's files."""
        return self._directory / "store"

    def credentials(self, user: User) -> Path:
        """Write the credentials file of *user*."""
        path = self._directory / f"{user.name}.json"
        path.write_text(json.dumps({"user": user.name, "password": user.password}))
        return path

    def wipe(self) -> None:
        """Lose all streams; only while it is down."""
        shutil.rmtree(self.store, ignore_errors=True)


@contextmanager
def running_nats(
    directory: Path,
    users: Sequence[User] = (),
    *,
    tls: Certificates | None = None,
    more: str = "",
) -> Iterator[NatsServer]:
    """
    Run a server in *directory* until the block ends.

    Without *users* anybody may do anything; with *tls* only encrypted. *more* is added to
    the configuration.
    """
    server = NatsServer(directory, users, tls=tls, more=more)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _configuration(
    directory: Path, port: int, users: Sequence[User], tls: Certificates | None
) -> str:
    lines = [
        "server_name: test",
        f"listen: 127.0.0.1:{port}",
        f"jetstream {{ store_dir: {json.dumps(str(directory / 'store'))}, max_file: 8GB }}",
    ]
    if users:
        listed = ",\n".join(json.dumps(_user(user)) for user in users)
        lines.append(f"authorization {{ users: [\n{listed}\n] }}")
    if tls:
        files = {"cert_file": str(tls.certificate), "key_file": str(tls.key)}
        lines.append(f"tls {json.dumps(files)}")
    return "\n".join(lines) + "\n"


def _user(user: User) -> dict[str, object]:
    entry: dict[str, object] = {"user": user.name, "password": user.password}
    if user.permissions:
        entry["permissions"] = {
            "publish": {"allow": list(user.permissions.publish)},
            "subscribe": {"allow": list(user.permissions.subscribe)},
        }
    return entry
