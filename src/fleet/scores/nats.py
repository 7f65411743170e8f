"""NATS as a score."""

from dataclasses import dataclass

from fleet.scores.capabilities import RunsNats
from fleet.scores.nats_server import NatsServer
from fleet.scores.score import Score


@dataclass(frozen=True, slots=True)
class NatsBasicScore(Score[RunsNats]):
    """
    A single NATS server with JetStream, as a process or as a workload: the topology knows how.

    Users are in the server's configuration. Sites with more devices than that
    suits run the official chart with accounts and signed users instead.
    """

    server: NatsServer

    @property
    def name(self) -> str:
        """Name the server."""
        return f"NATS server {self.server.name}"

    def differences(self, topology: RunsNats) -> tuple[str, ...]:
        """Ask the topology."""
        return topology.nats_differences(self.server)

    def bring_about(self, topology: RunsNats) -> None:
        """Have the topology run the server, and wait until it answers."""
        topology.run_nats(self.server)
