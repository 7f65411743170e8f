"""The agent that goes onto a machine is in the cache, made for its architecture and its Python."""

from dataclasses import dataclass

from fleet.scores.device.bundle import Bundle
from fleet.scores.score import Score
from lab.devices import agent_bundle
from lab.devices.vm.device import python_of
from lab.host.lab_host import LabHost
from lab.images.cloud import catalogue


@dataclass(frozen=True)
class BundleScore(Score[LabHost]):
    """The agent's bundle for machines of *image* is in the cache."""

    image: str

    @property
    def name(self) -> str:
        return f"agent for {self.image}"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        del topology
        image = catalogue.find(self.image)
        kept = agent_bundle.is_kept(image.arch, python_of(image))
        return () if kept else ("it is not in the cache",)

    def bring_about(self, topology: LabHost) -> None:
        topology.saw("gathering the agent's packages")
        bundle_of(self.image)


def bundle_of(image: str) -> Bundle:
    """Return the agent's bundle for machines of *image*, made where it isn't in the cache."""
    found = catalogue.find(image)
    return agent_bundle.bundle(found.arch, python_of(found))
