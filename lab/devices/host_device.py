"""What a host device is: its number in the lab, and what it is to know of the hub."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fleet.scores.device.configuration import HEARTBEAT_INTERVAL


@dataclass(frozen=True, slots=True)
class HostDevice:
    """One host device: number *index* of the lab, and what it is to know of the hub."""

    id: str
    index: int
    labels: Mapping[str, str]
    nats_url: str
    credentials: Path
    registry: str
    base: Path | None = None
    """the store of base images that devices share, read-only; root alone can lock it"""
    heartbeat_interval: int = HEARTBEAT_INTERVAL
    """seconds"""
    user: int | None = None
    """who runs podman and the agent of a rootless device"""

    @property
    def podman_part(self) -> str:
        """Return the name of the part that serves podman's API."""
        return f"podman-{self.id}"

    @property
    def agent_part(self) -> str:
        """Return the name of the part that is the agent."""
        return f"agent-{self.id}"
