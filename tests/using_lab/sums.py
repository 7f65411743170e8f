"""
Samples the sum rule of every aggregate: `matched = pending + running + failed + unknown`, always.

`kubectl get --watch` shows each version of each status that the API server serves. It ends with the
API server, and is begun again for as long as the tests break things.
"""

import json
import subprocess
import threading
from dataclasses import dataclass, field

from tests.using_lab.cluster import Cluster

PARTS = ("pending", "running", "failed", "unknown")
AGAIN_AFTER = 0.5
LINE = "{.metadata.namespace}/{.metadata.name} {.metadata.resourceVersion} {.status.aggregate}"


@dataclass
class Sums:
    """Every version of a status that was seen, and those whose parts don't sum to the whole."""

    cluster: Cluster
    seen: int = 0
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ends = threading.Event()
        self._watch: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._sample, name="sums", daemon=True)

    def start(self) -> None:
        """Begin to sample."""
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._ends.set()
        if self._watch is not None:
            self._watch.terminate()
        self._thread.join(timeout=20)

    def _sample(self) -> None:
        argv = (
            self.cluster.program, f"--kubeconfig={self.cluster.kubeconfig}",
            "get", "fleetdep", "--all-namespaces", "--watch", f"--output=jsonpath={LINE}{{'\\n'}}",
        )  # fmt: skip
        while not self._ends.is_set():
            with subprocess.Popen(
                argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            ) as self._watch:
                assert self._watch.stdout
                for line in self._watch.stdout:
                    self._judge(line)
            self._ends.wait(AGAIN_AFTER)

    def _judge(self, line: str) -> None:
        _, _, told = line.rstrip("\n").split(" ", 2)
        if not told:
            return  # no status yet
        aggregate = json.loads(told)
        self.seen += 1
        if aggregate.get("matched", 0) != sum(aggregate.get(part, 0) for part in PARTS):
            self.broken.append(line)
