"""The cloud images of a lab's machines are in the cache: built or pulled once on a host."""

from dataclasses import dataclass

from fleet.scores.score import Score
from lab.host.lab_host import LabHost
from lab.images.cloud import cache, catalogue


@dataclass(frozen=True)
class CloudImageScore(Score[LabHost]):
    """*image* is in the cache."""

    image: str

    @property
    def name(self) -> str:
        return f"image {self.image}"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        del topology
        stored = cache.stored(catalogue.find(self.image))
        return () if stored else ("it is not in the cache",)

    def bring_about(self, topology: LabHost) -> None:
        cache.ensure(catalogue.find(self.image), topology.saw)
