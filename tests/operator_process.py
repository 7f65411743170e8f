"""The operator as it is shipped, a process of its own, with its ServiceAccount's token."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab.services.cluster.client import FLEET, KubeClient, Refused
from lab.system import ports
from tests.kube_api import KubeApi
from tests.nats_server import OPERATOR, NatsServer
from tests.waiting import eventually

ROOT = Path(__file__).parents[1]
ACCOUNT = "/api/v1/namespaces/fleet-system/serviceaccounts/harmony-fleet-operator"
START_SECONDS = 30


async def install(kube: KubeClient) -> None:
    """Give the cluster Fleet's definitions, served, and the operator its account and rights."""
    for directory in ("crds", "operator"):
        for path in sorted((ROOT / "deploy" / directory).glob("*.yaml")):
            for manifest in yaml.safe_load_all(path.read_text()):
                await kube.apply(_path(manifest), manifest)
    await eventually(lambda: _is_served(kube), "the definitions are served")


async def _is_served(kube: KubeClient) -> bool:
    try:
        found = [await kube.find(f"{FLEET}/{plural}") for plural in ("deployments", "devices")]
    except Refused:  # 429 while the storage begins
        return False
    return None not in found


async def make_token(kube: KubeClient) -> str:
    """Make a fresh token of the operator's account."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = await kube.create(f"{ACCOUNT}/token", request)
    return str(answer["status"]["token"])


def write_kubeconfig(api: KubeApi, directory: Path, server: str = "") -> Path:
    """Write the operator's kubeconfig, which points at the token in *directory*."""
    cluster = {"server": server or api.url, "certificate-authority": str(api.ca)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "fleet", "cluster": cluster}],
        "users": [{"name": "operator", "user": {"tokenFile": str(directory / "token")}}],
        "contexts": [{"name": "fleet", "context": {"cluster": "fleet", "user": "operator"}}],
        "current-context": "fleet",
    }
    path = directory / "operator.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@dataclass
class OperatorProcess:
    """One operator, which may be killed and started again."""

    kubeconfig: Path
    nats: NatsServer
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.address = f"127.0.0.1:{ports.free()}"

    @property
    def log(self) -> Path:
        """What it said."""
        return self.directory / "operator.log"

    def start(self) -> None:
        """Start it, without waiting for anything."""
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "FLEET_NATS_URL": self.nats.url,
            "FLEET_NATS_CREDENTIALS": str(self.nats.credentials(OPERATOR)),
            "FLEET_HEALTH_LISTEN": self.address,
            "FLEET_METRICS_LISTEN": self.address,
            **self.environment,
        }
        command = [sys.executable, "-m", "fleet.operator.main"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it in order, and return its exit code."""
        return self._end(signal.SIGTERM)

    def entries(self) -> list[dict[str, Any]]:
        """Read the log's records."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def _end(self, number: int) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(timeout=START_SECONDS)
        self.process = None
        return code


def metric(text: str, name: str, **labels: str) -> float:
    """Read one sample out of a Prometheus page; 0 where there is none."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    for line in text.splitlines():
        match = re.fullmatch(rf"{re.escape(name)}(\{{.*\}})? (\S+)", line)
        if match and all(label in (match[1] or "") for label in wanted):
            return float(match[2])
    return 0.0


def _path(manifest: dict[str, Any]) -> str:
    group, kind = manifest["apiVersion"], manifest["kind"]
    root = f"/api/{group}" if group == "v1" else f"/apis/{group}"
    metadata = manifest["metadata"]
    namespace = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    return f"{root}{namespace}/{kind.lower()}s/{metadata['name']}"
