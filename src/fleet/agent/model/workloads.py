"""One service of a deployment as a device shall run it."""

from dataclasses import dataclass

from fleet.contracts import containers, scores
from fleet.contracts.names import DeploymentName


@dataclass(frozen=True, slots=True)
class Workload:
    """One service of a deployment as it is wanted. *digest* names the content of *service*."""

    deployment: DeploymentName
    service: scores.Service
    digest: str

    @property
    def name(self) -> str:
        """The name that its container bears in the runtime."""
        return containers.container_name(self.deployment, self.service.name)
