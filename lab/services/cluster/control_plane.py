"""
What the control plane consists of: files, identities and command lines. Decides only: no I/O.

etcd listens on Unix sockets in a directory that only root enters: it has no users of its own, so on
a loopback port it would hand the cluster to anybody on this host. Its `--unsafe-no-fsync` is safe
here: what is written survives `kill -9` in the page cache, and after a power loss there are no
namespaces and processes either, so the lab is taken down and made anew.

The API server makes its own certificate, for the address it binds to, and signs tokens of service
accounts with that key. Anonymous callers may ask whether it is alive, and nothing else.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ADMIN = "admin"
MANAGER = "system:kube-controller-manager"  # the name that the built-in RBAC rules speak of
GROUPS = {ADMIN: "system:masters", MANAGER: ""}

# What `kubectl delete namespace`, owner references and service accounts need; there are no pods.
_CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
)
_SERVICE_ADDRESSES = "10.96.0.0/16"
_ISSUER = "https://kubernetes.default.svc"


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """The control plane of lab *name*, with its files in *directory* (absolute)."""

    name: str
    directory: Path
    address: str
    port: int
    manager_port: int

    @property
    def server(self) -> str:
        """Return the URL of the API."""
        return f"https://{self.address}:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """Return the administrator's kubeconfig."""
        return self.directory / "admin.kubeconfig"

    @property
    def manager_kubeconfig(self) -> Path:
        """Return the controller manager's kubeconfig."""
        return self.directory / "controller-manager.kubeconfig"

    @property
    def tokens(self) -> Path:
        """Return the file of the built-in identities' tokens."""
        return self.directory / "tokens.csv"

    @property
    def authentication(self) -> Path:
        """Return the file that says who may come unnamed."""
        return self.directory / "authentication.json"

    @property
    def certificate(self) -> Path:
        """Return the API server's certificate, and the authority that signed it."""
        return self.directory / "certs" / "apiserver.crt"

    @property
    def key(self) -> Path:
        """Return the private key of that certificate."""
        return self.certificate.with_suffix(".key")

    @property
    def etcd_socket(self) -> Path:
        """Return the socket that etcd answers on."""
        return self.directory / "etcd.sock"


def etcd(plane: ControlPlane, program: str = "etcd") -> tuple[str, ...]:
    """Build etcd's command line. It runs in the plane's directory, so sockets have short names."""
    client, peer = f"unix://{plane.etcd_socket.name}", "unix://peer.sock"
    return (
        program,
        "--name=lab",
        "--data-dir=etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=lab={peer}",
        "--unsafe-no-fsync",
        "--auto-compaction-retention=1h",
        "--log-level=warn",
    )


def api_server(plane: ControlPlane, program: str = "kube-apiserver") -> tuple[str, ...]:
    """Build the API server's command line. It runs in the plane's directory."""
    return (
        program,
        f"--etcd-servers=unix://{plane.etcd_socket.name}",
        f"--bind-address={plane.address}",
        f"--advertise-address={plane.address}",
        f"--secure-port={plane.port}",
        f"--cert-dir={plane.certificate.parent}",
        f"--token-auth-file={plane.tokens}",
        f"--authentication-config={plane.authentication}",
        "--authorization-mode=RBAC,Node",
        f"--service-account-issuer={_ISSUER}",
        f"--service-account-key-file={plane.key}",
        f"--service-account-signing-key-file={plane.key}",
        f"--service-cluster-ip-range={_SERVICE_ADDRESSES}",
        "--endpoint-reconciler-type=none",
        "--profiling=false",
    )


def controller_manager(
    plane: ControlPlane, program: str = "kube-controller-manager"
) -> tuple[str, ...]:
    """Build the controller manager's command line; each controller has its own service account."""
    return (
        program,
        f"--kubeconfig={plane.manager_kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--secure-port={plane.manager_port}",
        f"--cert-dir={plane.directory / 'controller-manager-certs'}",
        f"--root-ca-file={plane.certificate}",
        f"--controllers={','.join(_CONTROLLERS)}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--profiling=false",
    )


def authentication() -> str:
    """Build the file that says who may come unnamed: whoever asks for a sign of life."""
    paths = [{"path": path} for path in ("/livez", "/readyz", "/healthz")]
    return _json(
        {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AuthenticationConfiguration",
            "anonymous": {"enabled": True, "conditions": paths},
        }
    )


def kubeconfig(
    plane: ControlPlane, authority: str, user: str, identity: dict[str, str], *, namespace: str = ""
) -> str:
    """
    Build a kubeconfig for *user*, with *identity* ``{"token": …}`` or ``{"tokenFile": …}``.

    *authority* is the server's certificate in base64. JSON is YAML, and has one form only.
    """
    context = {"cluster": plane.name, "user": user}
    if namespace:
        context["namespace"] = namespace
    cluster = {"server": plane.server, "certificate-authority-data": authority}
    return _json(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": plane.name, "cluster": cluster}],
            "users": [{"name": user, "user": identity}],
            "contexts": [{"name": plane.name, "context": context}],
            "current-context": plane.name,
        }
    )


def token_lines(tokens: dict[str, str]) -> str:
    """Write the token file of the API server, from tokens by user."""
    lines = (f'{token},{user},{user},"{GROUPS[user]}"' for user, token in sorted(tokens.items()))
    return "\n".join(lines) + "\n"


def read_tokens(text: str) -> dict[str, str]:
    """Read what `token_lines` wrote; a line that it didn't write counts for nothing."""
    columns = (line.split(",") for line in text.splitlines())
    return {column[1]: column[0] for column in columns if len(column) > 1 and column[1] in GROUPS}


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2) + "\n"
