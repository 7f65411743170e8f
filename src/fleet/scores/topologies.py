"""Topologies: what scores are brought about with. The lab's own is in `lab`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from fleet.scores import manifests, nats_resources, waiting
from fleet.scores.capabilities import Cluster
from fleet.scores.cluster import ApiCluster
from fleet.scores.nats_server import NatsServer
from fleet.scores.resources import K8sResourceScore


@dataclass(frozen=True, slots=True)
class K8sBareTopology:
    """
    A Kubernetes cluster that somebody else set up, and nothing more.

    It has what scores of objects need, and NATS as a workload; *patience* is
    how many seconds a workload gets to become ready.
    """

    cluster: Cluster
    patience: float = 180.0

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """
        Reach the cluster of ``$KUBECONFIG``, else the one that this process runs in.

        Never ``~/.kube/config``: what changes a cluster must be told which.

        :raises errors.InvalidConfig: neither is there.
        """
        if path := environ.get("KUBECONFIG"):
            return cls(ApiCluster.from_kubeconfig(path))
        return cls(ApiCluster.from_pod())

    def ensure_ready(self) -> None:
        """Do nothing: a bare topology is taken as it is found."""

    def nats_differences(self, wanted: NatsServer) -> tuple[str, ...]:
        """See `capabilities.RunsNats`."""
        return self._nats(wanted).differences(self)

    def run_nats(self, wanted: NatsServer) -> None:
        """See `capabilities.RunsNats`."""
        self._nats(wanted).bring_about(self)
        workload = nats_resources.stateful_set(wanted)
        waiting.until(
            f"{manifests.describe(workload)} to be ready",
            lambda: manifests.unready_replicas(self.cluster.read(workload)),
            within=self.patience,
        )

    def _nats(self, wanted: NatsServer) -> K8sResourceScore:
        return K8sResourceScore(nats_resources.manifests_of(wanted))
