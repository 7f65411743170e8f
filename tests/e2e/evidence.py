"""What is attached to the report of a test that failed: what the lab's parts last said."""

from collections.abc import Iterator
from pathlib import Path

from tests.e2e.cluster import Cluster
from tests.e2e.labs import Lab

LINES = 15


def gather(lab: Lab) -> Iterator[tuple[str, str]]:
    """Yield a title and a text for each thing worth reading."""
    status = lab.status()
    yield "lab.status", str(status)
    if not status.get("paths"):
        return
    for path in sorted(Path(status["paths"]["logs"]).rglob("*")):
        if path.is_file() and ("operator" in path.name or "agent" in path.name):
            yield f"end of {path}", _tail(path)
    if (status.get("kubernetes") or {}).get("kubeconfig"):
        cluster = Cluster(Path(status["kubernetes"]["kubeconfig"]))
        yield (
            "kubectl",
            cluster.kubectl("get", "fleetdep,fleetdev", "--all-namespaces", "-o", "yaml"),
        )


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-LINES:])
