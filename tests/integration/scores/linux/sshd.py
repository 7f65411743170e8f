"""A real sshd for tests: on loopback, a free port, with keys and settings of its own."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fleet.scores.linux.ssh import SshMachine
from lab.system import ports
from tests import waiting

SSHD = "/usr/sbin/sshd"  # it starts itself again, and so wants its whole path
_STARTS_WITHIN = 10


def required() -> None:
    """Skip a test where there is no sshd."""
    if shutil.which(SSHD) is None:
        pytest.skip(f"{SSHD} isn't here; install openssh-server")


def make_key(path: Path) -> Path:
    """Make a key pair without a passphrase."""
    subprocess.run(
        ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path), check=True
    )
    return path


@dataclass
class Sshd:
    """One server, which can be killed and started again with the same port and keys."""

    directory: Path
    before: Sequence[str] = ()
    port: int = field(default_factory=ports.free)
    process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.key = make_key(self.directory / "id")
        self.host_key = make_key(self.directory / "host")
        self.known_hosts = self.directory / "known_hosts"
        self.known_hosts.write_text(self.pin())

    def pin(self, host_key: Path | None = None) -> str:
        public = (host_key or self.host_key).with_suffix(".pub").read_text()
        return f"[127.0.0.1]:{self.port} {' '.join(public.split()[:2])}\n"

    def connect(self, user: str = "root", *, key: Path | None = None, **others) -> SshMachine:
        return SshMachine.connect(
            "127.0.0.1",
            user=user,
            key=key or self.key,
            known_hosts=self.known_hosts,
            port=self.port,
            within=5,
            **others,
        )

    def start(self) -> None:
        Path("/run/sshd").mkdir(exist_ok=True)
        log = self.directory / "log"
        settings = {
            "ListenAddress": f"127.0.0.1:{self.port}",
            "HostKey": self.host_key,
            "AuthorizedKeysFile": f"{self.key}.pub .ssh/authorized_keys",
            "StrictModes": "no",  # a test's directory is below one that anybody writes to
            "PidFile": "none",
            "UsePAM": "no",
            "SetEnv": "SHLVL=1",  # so that bash reads no ~/.bashrc of whoever runs the tests
        }
        options = [f"-o{name}={value}" for name, value in settings.items()]
        with log.open("wb") as out:
            command = (*self.before, SSHD, "-D", "-e", "-f", "/dev/null", *options)
            self.process = subprocess.Popen(command, stdout=out, stderr=out)

        def missing() -> str:
            return "" if "Server listening" in log.read_text() else "it doesn't listen yet"

        waiting.serves("sshd", missing, self.process, log, within=_STARTS_WITHIN)

    def stop(self) -> None:
        """End it, and what it serves: the program that runs goes with its connection."""
        if self.process is not None:
            subprocess.run(("pkill", "-KILL", "-P", str(self.process.pid)), check=False)
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def running(directory: Path, before: Sequence[str] = ()) -> Iterator[Sshd]:
    """Run one; *before* is what its command is put after."""
    required()
    server = Sshd(directory, before)
    server.start()
    try:
        yield server
    finally:
        server.stop()
