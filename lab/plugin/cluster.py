"""The lab's cluster, through kubectl and its own kubeconfig."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fleet import errors

_WITHIN = 60


@dataclass(frozen=True, slots=True)
class Cluster:
    """One API server, seen as its administrator."""

    kubeconfig: Path
    server: str = ""
    program: str = "kubectl"  # on the PATH that ./dev pins

    def kubectl(self, *arguments: str, stdin: str = "", within: float = _WITHIN) -> str:
        """
        Run kubectl, and return what it printed.

        :raises errors.ClusterRefused: it failed; the message is what it said.
        """
        argv = (self.program, f"--kubeconfig={self.kubeconfig}", *arguments)
        try:
            done = subprocess.run(
                argv, input=stdin, capture_output=True, text=True, timeout=within, check=False
            )
        except subprocess.TimeoutExpired as exc:
            message = f"`kubectl {' '.join(arguments)}` took over {within:g} s"
            raise errors.ClusterUnavailable(message) from exc
        if done.returncode:
            said = done.stderr.strip() or done.stdout.strip()
            raise errors.ClusterRefused(f"`kubectl {' '.join(arguments)}`: {said}")
        return done.stdout

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """Apply manifests."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def get(self, kind: str, name: str, namespace: str = "default") -> dict[str, Any]:
        """Read one object."""
        return dict(json.loads(self.kubectl("get", kind, name, "-n", namespace, "-o", "json")))

    def wait(
        self, what: str, until: str, *, namespace: str = "default", within: float = _WITHIN
    ) -> None:
        """Wait for *what* (``fleetdep/web``) *until* something holds: ``condition=Available``."""
        self.kubectl(
            "wait", what, f"--for={until}", "-n", namespace, f"--timeout={within:g}s",
            within=within + _WITHIN,
        )  # fmt: skip
