"""The cluster, through kubectl and the lab's own kubeconfig."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.using_lab.manifests import NAMESPACE, Manifest
from tests.using_lab.waiting import eventually

WITHIN = 60
NOTHING = {"matched": 0, "pending": 0, "running": 0, "failed": 0, "unknown": 0}


class Refused(AssertionError):
    """kubectl ended with an error; the text is what it printed."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One API server, seen as one user."""

    kubeconfig: Path
    program: str = "kubectl"  # on the PATH that ./dev pins

    @classmethod
    def of(cls, status: dict[str, Any]) -> "Cluster":
        """Read the cluster of `lab.status`."""
        return cls(Path(status["kubernetes"]["kubeconfig"]))

    def ensure_namespaces(self, *names: str) -> None:
        """Have namespaces."""
        self.apply(
            *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in names)
        )

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl, and return what it printed; raise `Refused` when it failed."""
        done = subprocess.run(
            [self.program, f"--kubeconfig={self.kubeconfig}", *arguments],
            input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode:
            raise Refused(done.stderr.strip() or done.stdout.strip())
        return done.stdout

    def apply(self, *manifests: Manifest) -> None:
        """Apply manifests."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(manifests))

    def refusal(self, manifest: Manifest) -> str:
        """Apply what must be refused, and return the reason."""
        try:
            self.apply(manifest)
        except Refused as refused:
            return str(refused)
        raise AssertionError(f"kubectl accepted {manifest}")

    def get(self, kind: str, name: str, namespace: str = NAMESPACE) -> dict[str, Any]:
        """Read one object."""
        text = self.kubectl("get", kind, name, "-n", namespace, "-o", "json")
        found = json.loads(text)
        assert isinstance(found, dict)
        return found

    def names(self, kind: str, *arguments: str) -> list[str]:
        """List the names of all objects of a kind; with `-n` and the like as *arguments*."""
        return self.kubectl(
            "get", kind, "-o", "jsonpath={.items[*].metadata.name}", *arguments
        ).split()

    def row(self, kind: str, name: str, namespace: str = NAMESPACE) -> dict[str, str]:
        """Read the line that `kubectl get` prints for a person, by column."""
        head, line = self.kubectl("get", kind, name, "-n", namespace).splitlines()
        return cut(head, line)

    def aggregate(self, name: str, namespace: str = NAMESPACE) -> dict[str, int]:
        """Read how many devices are how."""
        aggregate = self.get("fleetdep", name, namespace)["status"]["aggregate"]
        return {key: aggregate.get(key, 0) for key in NOTHING}

    def condition(
        self, kind: str, name: str, condition: str, namespace: str = NAMESPACE
    ) -> dict[str, Any]:
        """Read one condition."""
        conditions = self.get(kind, name, namespace)["status"]["conditions"]
        found = {each["type"]: each for each in conditions}
        assert condition in found, f"{name} has the conditions {sorted(found)}"
        return dict(found[condition])

    def await_aggregate(
        self, name: str, namespace: str = NAMESPACE, *, within: float = WITHIN, **counts: int
    ) -> None:
        """Wait until the status speaks of the newest spec and counts so; what isn't named is 0."""

        def look() -> None:
            status = self.get("fleetdep", name, namespace)
            generation = status["metadata"]["generation"]
            assert status["status"]["observedGeneration"] == generation
            assert self.aggregate(name, namespace) == NOTHING | counts

        look.__doc__ = f"{namespace}/{name} counts {counts}"
        eventually(look, within=within)

    def await_condition(
        self,
        kind: str,
        name: str,
        condition: str,
        status: str,
        *,
        reason: str | None = None,
        namespace: str = NAMESPACE,
        within: float = WITHIN,
    ) -> dict[str, Any]:
        """Wait until a condition has *status* (and *reason*), and return it."""

        def look() -> dict[str, Any]:
            found = self.condition(kind, name, condition, namespace)
            assert found["status"] == status, found
            assert reason in {None, found["reason"]}, found
            return found

        look.__doc__ = f"{kind} {namespace}/{name} is {condition}={status} ({reason})"
        return eventually(look, within=within)

    def await_gone(
        self, kind: str, name: str, namespace: str = NAMESPACE, *, within: float = WITHIN
    ) -> None:
        """Wait until there is no such object."""

        def look() -> None:
            assert name not in self.names(kind, "-n", namespace)

        look.__doc__ = f"{kind} {namespace}/{name} is gone"
        eventually(look, within=within)


def cut(head: str, line: str) -> dict[str, str]:
    """Cut *line* where the columns of *head* begin: a cell may be empty."""
    columns = head.split()
    begins = [head.index(column) for column in columns]
    ends = [*begins[1:], None]
    return {
        column: line[begin:end].strip()
        for column, begin, end in zip(columns, begins, ends, strict=True)
    }
