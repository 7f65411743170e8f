"""What a test asks of the fleet, and how it is all taken back after the test."""

from dataclasses import dataclass, field

from tests.using_lab.cluster import Cluster
from tests.using_lab.devices import Device
from tests.using_lab.manifests import NAMESPACE, OTHER_NAMESPACE, Manifest
from tests.using_lab.waiting import eventually

LABEL = "e2e"
TIDY_WITHIN = 60


@dataclass(slots=True)
class Fleet:
    """The deployments and labels of one test."""

    cluster: Cluster
    devices: tuple[Device, ...]
    applied: set[str] = field(default_factory=set)

    def label(self, value: str, *devices: Device) -> dict[str, str]:
        """Label devices, and return the selector that matches them."""
        for device in devices:
            self.cluster.kubectl("label", "fleetdev", device.id, f"{LABEL}={value}", "--overwrite")
        return {LABEL: value}

    def unlabel(self, *devices: Device) -> None:
        """Take the test's label off devices."""
        for device in devices:
            self.cluster.kubectl("label", "fleetdev", device.id, f"{LABEL}-")

    def apply(self, manifest: Manifest) -> str:
        """Apply a deployment, to be deleted after the test, and return its name."""
        name = str(manifest["metadata"]["name"])
        self.applied.add(name)
        self.cluster.apply(manifest)
        return name

    def delete(self, name: str, namespace: str = NAMESPACE) -> None:
        """Delete a deployment as a user does, and wait until it is gone."""
        self.cluster.kubectl("delete", "fleetdep", name, "-n", namespace, "--timeout=60s")

    def tidy(self) -> None:
        """Delete what the test applied, and wait until no device has anything of it."""
        for namespace in (NAMESPACE, OTHER_NAMESPACE):
            self.cluster.kubectl(
                "delete",
                "fleetdep",
                "--all",
                "-n",
                namespace,
                "--timeout=60s",
                "--ignore-not-found",
            )
        eventually(self._nothing_remains, within=TIDY_WITHIN)
        self.cluster.kubectl("label", "fleetdev", "--all", f"{LABEL}-")

    def _nothing_remains(self) -> None:
        """no device has a container of the test"""
        if self.applied:
            assert {d.id: d.remains(self.applied) for d in self.devices} == {
                device.id: [] for device in self.devices
            }
