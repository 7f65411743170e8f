"""
The identity of a service account outside a pod: a token file, and a kubeconfig that names it.

The token is requested of the API as the kubelet does it for a pod, so RBAC holds for whoever
carries it. It is renewed in the file well before it expires, and when the API refuses it.
"""

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fleet.scores.score import Score
from lab.host import files
from lab.host.lab_host import LabHost
from lab.services.cluster import access, objects
from lab.services.cluster import control_plane as planes
from lab.services.cluster.control_plane import ControlPlane

LIFETIME = 30 * 24 * 3600  # a lab seldom lives longer; `up` renews at half of it. Taste
_SECRET = 0o600


@dataclass(frozen=True, slots=True)
class ServiceAccountScore(Score[LabHost]):
    """*directory* holds ``token`` and ``kubeconfig`` of one service account."""

    plane: ControlPlane
    directory: Path
    namespace: str
    account: str
    lifetime: int = LIFETIME
    clock: Callable[[], float] = field(default=time.time, compare=False)

    @property
    def name(self) -> str:
        return f"identity {self.namespace}/{self.account}"

    @property
    def token(self) -> Path:
        """Return the file with the token."""
        return self.directory / "token"

    @property
    def kubeconfig(self) -> Path:
        """Return the kubeconfig that names the token's file."""
        return self.directory / "kubeconfig"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        if not self.plane.kubeconfig.exists():
            return ("there is no cluster yet",)
        return (*self._stale(), *self._kubeconfig().differences(topology))

    def bring_about(self, topology: LabHost) -> None:
        access.closed(self.directory)
        if self._stale():
            api = objects.api(self.plane)
            token = api.token(self.namespace, self.account, seconds=self.lifetime)
            files.write(self.token, token, _SECRET)
        self._kubeconfig().bring_about(topology)

    def _stale(self) -> tuple[str, ...]:
        try:
            token = self.token.read_text()
        except FileNotFoundError:
            return (f"{self.account} has no token",)
        if expiry(token) - self.clock() < self.lifetime / 2:
            return (f"the token of {self.account} expires soon",)
        if not objects.api(self.plane).accepts(token):
            return (f"the API refuses the token of {self.account}",)
        return ()

    def _kubeconfig(self) -> files.FileScore:
        content = planes.kubeconfig(
            self.plane,
            access.authority(self.plane),
            self.account,
            {"tokenFile": str(self.token)},
            namespace=self.namespace,
        )
        return files.FileScore(self.kubeconfig, content, _SECRET)


def expiry(token: str) -> float:
    """Read when a token expires, in seconds since 1970; 0 where it doesn't say."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (IndexError, ValueError, KeyError, TypeError):
        return 0.0
