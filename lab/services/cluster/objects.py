"""Scores of Kubernetes objects, brought about on the lab's own API."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from fleet.scores.capabilities import Manifest
from fleet.scores.cluster import ApiCluster
from fleet.scores.resources import K8sResourceScore
from fleet.scores.score import Score
from fleet.scores.topologies import K8sBareTopology
from lab.errors import LabError
from lab.host.lab_host import LabHost
from lab.services.cluster.control_plane import ControlPlane


@dataclass(frozen=True, slots=True)
class ObjectsScore(Score[LabHost]):
    """The lab's API has these objects."""

    plane: ControlPlane
    what: str
    manifests: tuple[Manifest, ...]

    @property
    def name(self) -> str:
        return self.what

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        del topology
        if not self.plane.kubeconfig.exists():
            return ("there is no cluster yet",)
        return self._score().differences(_topology(self.plane))

    def bring_about(self, topology: LabHost) -> None:
        del topology
        self._score().bring_about(_topology(self.plane))

    def _score(self) -> K8sResourceScore:
        return K8sResourceScore(self.manifests)


def api(plane: ControlPlane) -> ApiCluster:
    """Reach the lab's API as its administrator."""
    return ApiCluster.from_kubeconfig(plane.kubeconfig)


def _topology(plane: ControlPlane) -> K8sBareTopology:
    return K8sBareTopology(api(plane))


def namespace(name: str) -> Manifest:
    """Build the manifest of a namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def load(directory: Path) -> tuple[Manifest, ...]:
    """
    Read every object of the YAML files of *directory*, in the order of their names.

    :raises LabError: there are none, or a file isn't YAML.
    """
    found: list[Manifest] = []
    for path in sorted(directory.glob("*.yaml")):
        try:
            found += [document for document in yaml.safe_load_all(path.read_text()) if document]
        except yaml.YAMLError as exc:
            raise LabError(f"{path} isn't YAML: {exc}", element=path.name) from exc
    if not found:
        raise LabError(f"{directory} has no manifests", element=str(directory))
    return tuple(found)
