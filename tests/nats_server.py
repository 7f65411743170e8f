"""
A real nats-server for tests: on loopback, a free port, a store of its own.

It can be killed and started again on the same port and store, or with its store
wiped, and takes a list of users with what they may do.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
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
from lab.system import ports
from tests import waiting
from tests.certificates import Certificates

START_SECONDS = 10


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


class NatsServer:
    """One server and its directory. Stop it before the directory goes."""

    def __init__(
        self,
        directory: Path,
        users: Sequence[User],
        *,
        tls: Certificates | None = None,
        more: str = "",
    ) -> None:
        self.port = ports.free()
        self._directory = directory
        self._users = tuple(users)
        self._process: subprocess.Popen[bytes] | None = None
        self._configuration = directory / "nats.conf"
        self._configuration.write_text(
            _configuration(directory, self.port, self._users, tls) + more
        )

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def store(self) -> Path:
        """JetStream's files."""
        return self._directory / "store"

    @property
    def log(self) -> Path:
        """What the server said."""
        return self._directory / "nats.log"

    def credentials(self, user: User) -> Path:
        """Write the credentials file of *user*."""
        path = self._directory / f"{user.name}.json"
        path.write_text(json.dumps({"user": user.name, "password": user.password}))
        return path

    def start(self) -> None:
        """Start, and wait until clients are taken in."""
        binary = shutil.which("nats-server") or _missing()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [binary, "-c", str(self._configuration)], stdout=log, stderr=log
            )
        _wait_until_listening(self._process, self.port, self.log)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Freeze it: connections stand, and nothing is answered."""
        assert self._process
        os.kill(self._process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)  # its threads run on for a moment

    def resume(self) -> None:
        """Thaw it."""
        assert self._process
        os.kill(self._process.pid, signal.SIGCONT)

    def wipe(self) -> None:
        """Lose all streams; only while it is down."""
        shutil.rmtree(self.store, ignore_errors=True)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            self._process.wait(timeout=START_SECONDS)
            self._process = None


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


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    def missing() -> str:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
            return "" if probe.recv(4) == b"INFO" else "no greeting"

    waiting.serves("nats-server listens", missing, process, log, within=START_SECONDS)


def _missing() -> str:
    raise RuntimeError("nats-server is not on the PATH; ./dev provides it")
