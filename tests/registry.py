"""Debian's docker-registry for tests: on loopback, a free port, plain HTTP, a store of its own."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import bcrypt

from lab.system import waiting as lab_waiting
from tests import waiting
from tests.podman_host import PodmanHost

USER, PASSWORD = "fleet", "secret"
PORTS = iter(range(5100, 5900))

_START_SECONDS = 15.0
_CONFIGURATION = """
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {root}/store}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""
_AUTH = """
auth:
  htpasswd: {{realm: test, path: {root}/htpasswd}}
"""


@dataclass(frozen=True, slots=True)
class Registry:
    """A running registry."""

    port: int

    @property
    def address(self) -> str:
        """Where it listens; what the podmans of tests know for insecure."""
        return f"127.0.0.1:{self.port}"

    @property
    def strict_address(self) -> str:
        """The same, by a name that no podman knows for insecure."""
        return f"localhost:{self.port}"

    def reference(self, name: str) -> str:
        """Spell the reference of an image in it."""
        return f"{self.address}/{name}"

    def push(self, host: PodmanHost, image: str, name: str) -> None:
        """Copy *image* from the store of *host* into it."""
        known = f"--creds={USER}:{PASSWORD}"
        host.podman("push", "--tls-verify=false", known, image, f"docker://{self.reference(name)}")


@contextlib.contextmanager
def running_registry(
    root: Path, enter: Callable[..., list[str]], *, locked: bool = False
) -> Iterator[Registry]:
    """Run a registry in the network that *enter* leads into, until the block ends."""
    port = next(PORTS)
    template = _CONFIGURATION + (_AUTH if locked else "")
    (root / "config.yml").write_text(template.format(root=root, port=port))
    digest = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (root / "htpasswd").write_text(f"{USER}:{digest}\n")
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(
            enter("docker-registry", "serve", str(root / "config.yml")), stdout=log, stderr=log
        )
    try:
        waiting.serves(
            f"a registry at port {port}",
            lambda: _unheard(enter, port),
            process,
            root / "log",
            within=_START_SECONDS,
        )
        yield Registry(port)
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def silent_registry(enter: Callable[..., list[str]], at: str) -> Iterator[str]:
    """Run a registry that never answers *at*, until the block ends; return its address."""
    port = next(PORTS)
    script = Path(__file__).with_name("silent_registry.py")
    process = subprocess.Popen(enter(sys.executable, str(script), str(port), at))
    try:
        lab_waiting.wait_for(
            f"a registry at port {port}",
            lambda: _unheard(enter, port),
            within=_START_SECONDS,
            every=0.05,
        )
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _unheard(enter: Callable[..., list[str]], port: int) -> str:
    probe = enter("ss", "--listening", "--tcp", "--no-header", f"sport = :{port}")
    return "" if subprocess.run(probe, check=True, capture_output=True).stdout else "nobody listens"
