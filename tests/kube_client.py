"""The Kubernetes client of the tests: the lab's own, and the path of Fleet's kinds."""

from lab.cluster.client import APPLY, FLEET, MERGE, KubeClient, Refused, kube_client

__all__ = ["APPLY", "FLEET", "MERGE", "KubeClient", "Refused", "kube_client"]
