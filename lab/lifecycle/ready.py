"""The last stage: every device has registered, and the operator calls it Ready."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fleet.contracts import resources
from fleet.scores.capabilities import Manifest
from fleet.scores.cluster import ApiCluster
from fleet.scores.score import Score
from lab.errors import PartDied, WaitTimedOut
from lab.host import processes
from lab.host.lab_host import LabHost
from lab.lifecycle.registration import Registering
from lab.services.cluster import objects
from lab.services.cluster.control_plane import ControlPlane
from lab.system import waiting

_WITHIN = 150  # an agent tries again every 15 s at most, and Stale takes 30 s to clear


@dataclass(frozen=True)
class DevicesReadyScore(Score[LabHost]):
    """
    Every one of *devices* is Ready in the Kubernetes API; *agents* are parts that see to it.

    One whose object was deleted while its agent lived on is *registering* again.
    """

    plane: ControlPlane
    devices: tuple[str, ...]
    agents: tuple[str, ...]
    registering: Registering

    @property
    def name(self) -> str:
        return "devices are Ready"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        del topology
        if not self.plane.kubeconfig.exists():
            return ("there is no cluster yet",)
        api = objects.api(self.plane)  # one connection for them all
        found = ((device, _device(api, device)) for device in self.devices)
        return tuple(f"{name}: {why}" for name, device in found if (why := unready(device)))

    def bring_about(self, topology: LabHost) -> None:
        def probe() -> str:
            return "; ".join(self.differences(topology))

        def check() -> None:
            for part in self.agents:
                if processes.pid_of(topology.ledger, part) is None:
                    log = topology.log(part)
                    words = f"{part} ended by itself; its last words: {processes.tail(log)}"
                    raise PartDied(words, element=part, log=log)
            self.registering.look(topology)

        within = topology.budget(_WITHIN)
        try:
            waiting.wait_for(
                self.name, probe, within=within, every=0.3, saw=topology.saw, check=check
            )
        except WaitTimedOut as exc:
            exc.log = topology.log("operator")
            exc.hint = "look into the logs of the operator, and of the agents that aren't Ready"
            raise


def _device(api: ApiCluster, name: str) -> Manifest | None:
    wanted = {"apiVersion": resources.API_VERSION, "kind": "Device", "metadata": {"name": name}}
    return api.read(wanted)


def unready(device: Mapping[str, Any] | None) -> str:
    """Say why a Device object isn't Ready; nothing when it is."""
    if device is None:
        return "has not registered"
    conditions = device.get("status", {}).get("conditions", [])
    for condition in conditions:
        if condition["type"] == "Ready":
            why = condition.get("reason", "") or condition.get("message", "")
            return "" if condition["status"] == "True" else f"not Ready ({why})"
    return "has no condition Ready yet"
