"""
A real Kubernetes API for tests: etcd and kube-apiserver on loopback, RBAC on, no nodes.

Authenticated by token; each *user* beside the administrator has what RBAC gives.
"""

import base64
import json
import secrets
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.system import ports
from tests import waiting

START_SECONDS = 90  # two shared cores
BINARIES = ("etcd", "kube-apiserver", "openssl")


@dataclass(frozen=True, slots=True)
class KubeUser:
    """Someone with a token, and nothing but what RBAC grants the name."""

    name: str
    groups: tuple[str, ...] = ()


ADMIN = KubeUser("admin", ("system:masters",))


@dataclass(frozen=True, slots=True)
class KubeApi:
    """A running API server, and a kubeconfig per user; *kubeconfig* is the administrator's."""

    url: str
    directory: Path
    etcd: str

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.kubeconfig_of(ADMIN.name)

    @property
    def ca(self) -> Path:
        """What the server's certificate is checked with."""
        return self.directory / "certs" / "apiserver.crt"

    def kubeconfig_of(self, user: str) -> Path:
        """Find the kubeconfig of *user*."""
        return self.directory / f"{user}.kubeconfig"


def missing_binaries() -> tuple[str, ...]:
    """Name what isn't on the PATH; ./dev provides it."""
    return tuple(name for name in BINARIES if shutil.which(name) is None)


class ControlPlane:
    """etcd and kube-apiserver, which may be killed, wiped, and started again."""

    def __init__(
        self, directory: Path, users: Sequence[KubeUser] = (), flags: Sequence[str] = ()
    ) -> None:
        etcd = f"http://127.0.0.1:{ports.free()}"
        self.api = KubeApi(f"https://127.0.0.1:{ports.free()}", directory, etcd)
        self._tokens = {user: secrets.token_hex(16) for user in (ADMIN, *users)}
        self._flags = tuple(flags)
        self._processes: list[subprocess.Popen[bytes]] = []
        _write_tokens(directory / "tokens.csv", self._tokens)
        subprocess.run(
            ["openssl", "genrsa", "-out", str(directory / "accounts.key"), "2048"],
            check=True,
            capture_output=True,
        )

    def start(self) -> None:
        """Start both, and wait until they are ready."""
        self._run(_etcd(self.api.directory, self.api.etcd), "etcd.log")
        server = self._run([*_apiserver(self.api), *self._flags], "kube-apiserver.log")
        _wait_until_ready(self.api, self._tokens[ADMIN], server)
        for user, token in self._tokens.items():
            _write_kubeconfig(self.api, user.name, token)

    def compact(self) -> None:
        """Have etcd forget all but what is now, as it does of itself every few minutes."""
        now = self._etcd_answers("range", {"key": base64.b64encode(b"/").decode()})
        revision = int(now["header"]["revision"])
        self._etcd_answers("compaction", {"revision": revision, "physical": True})

    def kill(self) -> None:
        """End both as a power cut would, the API server first."""
        for process in reversed(self._processes):
            process.kill()
            process.wait()
        self._processes.clear()

    def wipe(self) -> None:
        """Lose all objects; only while it is down."""
        shutil.rmtree(self.api.directory / "etcd")

    def _etcd_answers(self, what: str, question: dict[str, object]) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 -- our own address
            f"{self.api.etcd}/v3/kv/{what}", data=json.dumps(question).encode()
        )
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 -- the same
            return dict(json.load(answer))

    def _run(self, command: list[str], log: str) -> subprocess.Popen[bytes]:
        with (self.api.directory / log).open("ab") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        self._processes.append(process)
        return process


@contextmanager
def running_control_plane(
    directory: Path, users: Sequence[KubeUser] = (), flags: Sequence[str] = ()
) -> Iterator[ControlPlane]:
    """
    Run etcd and kube-apiserver with their state in *directory* until the block ends.

    *flags* are more of kube-apiserver's.
    """
    plane = ControlPlane(directory, users, flags)
    try:
        plane.start()
        yield plane
    finally:
        plane.kill()


@contextmanager
def running_kube_api(directory: Path, users: Sequence[KubeUser] = ()) -> Iterator[KubeApi]:
    """Run a Kubernetes API with its state in *directory* until the block ends."""
    with running_control_plane(directory, users) as plane:
        yield plane.api


def _etcd(directory: Path, client: str) -> list[str]:
    peer = f"http://127.0.0.1:{ports.free()}"
    return [
        "etcd",
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",  # a test's data need not survive a power cut
        "--log-level=warn",
    ]


def _apiserver(api: KubeApi) -> list[str]:
    key = api.directory / "accounts.key"
    return [
        "kube-apiserver",
        f"--etcd-servers={api.etcd}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={api.url.rpartition(':')[2]}",
        f"--cert-dir={api.directory / 'certs'}",
        f"--token-auth-file={api.directory / 'tokens.csv'}",
        "--anonymous-auth=false",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--endpoint-reconciler-type=none",
    ]


def _wait_until_ready(api: KubeApi, token: str, process: subprocess.Popen[bytes]) -> None:
    def missing() -> str:
        answer = _readiness(api, token)
        return "" if answer == "ok" else answer

    log = api.directory / "kube-apiserver.log"
    waiting.serves("kube-apiserver is ready", missing, process, log, within=START_SECONDS)


def _readiness(api: KubeApi, token: str) -> str:
    try:
        context = ssl.create_default_context(cafile=str(api.ca))
        request = urllib.request.Request(  # noqa: S310 -- our own https address
            f"{api.url}/readyz", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:  # noqa: S310 -- the same
            return str(answer.read().decode())
    except urllib.error.HTTPError as exc:
        exc.close()
        return f"{exc.code} {exc.reason}"
    except OSError as exc:
        return str(exc)


def _write_tokens(path: Path, tokens: dict[KubeUser, str]) -> None:
    rows = [
        f'{token},{user.name},{user.name},"{",".join(user.groups)}"'
        for user, token in tokens.items()
    ]
    path.write_text("\n".join(rows) + "\n")


def _write_kubeconfig(api: KubeApi, user: str, token: str) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "test", "cluster": {"server": api.url, "certificate-authority": str(api.ca)}}
        ],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        "current-context": "test",
    }
    api.kubeconfig_of(user).write_text(yaml.safe_dump(config))
