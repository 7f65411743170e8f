"""Who may talk to the lab's API: tokens, and the kubeconfigs that carry them. All 0600."""

import base64
import secrets
from dataclasses import dataclass
from pathlib import Path

from fleet.scores.score import Score
from lab.host import files
from lab.host.lab_host import LabHost
from lab.services.cluster import control_plane as planes
from lab.services.cluster.control_plane import ControlPlane

_SECRET = 0o600
_CLOSED = 0o700


@dataclass(frozen=True, slots=True)
class TokensScore(Score[LabHost]):
    """The built-in identities have a long random token each, made once and then kept."""

    plane: ControlPlane

    @property
    def name(self) -> str:
        return "tokens of the Kubernetes API"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        del topology
        found = tokens(self.plane)
        missing = [f"{user} has no token" for user in planes.GROUPS if user not in found]
        if found and self.plane.tokens.stat().st_mode & 0o077:
            missing.append(f"{self.plane.tokens} is open to others")
        return tuple(missing)

    def bring_about(self, topology: LabHost) -> None:
        del topology
        closed(self.plane.directory)
        found = tokens(self.plane)
        wanted = {user: found.get(user) or secrets.token_urlsafe(32) for user in planes.GROUPS}
        files.write(self.plane.tokens, planes.token_lines(wanted), _SECRET)


@dataclass(frozen=True, slots=True)
class KubeconfigScore(Score[LabHost]):
    """*path* lets one of the built-in identities in. The API server must have run once."""

    plane: ControlPlane
    path: Path
    user: str

    @property
    def name(self) -> str:
        return f"kubeconfig of {self.user}"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        if not self.plane.certificate.exists():
            return ("the API server has no certificate yet",)
        return self._file().differences(topology)

    def bring_about(self, topology: LabHost) -> None:
        self._file().bring_about(topology)

    def _file(self) -> files.FileScore:
        identity = {"token": tokens(self.plane).get(self.user, "")}
        content = planes.kubeconfig(self.plane, authority(self.plane), self.user, identity)
        return files.FileScore(self.path, content, _SECRET)


def tokens(plane: ControlPlane) -> dict[str, str]:
    """Read the tokens by user; none where there is no file yet."""
    try:
        return planes.read_tokens(plane.tokens.read_text())
    except FileNotFoundError:
        return {}


def authority(plane: ControlPlane) -> str:
    """Read what signed the API server's certificate, as kubeconfigs carry it."""
    return base64.b64encode(plane.certificate.read_bytes()).decode()


def closed(directory: Path) -> None:
    """Make *directory*, and let nobody else into it."""
    directory.mkdir(mode=_CLOSED, parents=True, exist_ok=True)
    directory.chmod(_CLOSED)
