"""The broker as a score."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fleet.contracts import permissions
from fleet.contracts.names import DeviceId
from fleet.scores import nats_server
from fleet.scores.nats import NatsBasicScore
from fleet.scores.nats_server import CLIENT_PORT, NatsServer
from fleet.scores.score import Score
from lab.host.lab_host import LabHost
from lab.services.broker import credentials
from lab.services.broker.credentials import BrokerUser
from lab.services.broker.process import PART, NatsHost

# No device id holds an underscore, so no device is ever taken for one of these.
ADMIN = "lab_admin"
OPERATOR = "fleet_operator"

_MONITOR = "nats-monitor"


@dataclass(frozen=True, slots=True)
class Broker:
    """The NATS server of a lab, with its files in *directory*."""

    directory: Path
    address: str
    port: int
    monitor_port: int
    devices: tuple[DeviceId, ...] = ()

    @property
    def url(self) -> str:
        """Return where clients connect."""
        return f"nats://{self.address}:{self.port}"

    @property
    def users(self) -> tuple[BrokerUser, ...]:
        """List who may connect: an administrator, the operator, each device."""
        return (
            BrokerUser(ADMIN, self.credentials(ADMIN)),
            BrokerUser(OPERATOR, self.credentials(OPERATOR), permissions.operator_permissions()),
            *(
                BrokerUser(device, self.device(device), permissions.device_permissions(device))
                for device in self.devices
            ),
        )

    def credentials(self, user: str) -> Path:
        """Return the credentials of the administrator or the operator."""
        return self.directory / "credentials" / f"{user}.json"

    def device(self, device: DeviceId) -> Path:
        """Return the credentials of a device; a directory of their own, since its name is free."""
        return self.directory / "credentials" / "devices" / f"{device}.json"


@dataclass(frozen=True, slots=True)
class BrokerScore(Score[LabHost]):
    """The NATS server runs, with exactly these users, and each has their credentials."""

    broker: Broker

    @property
    def name(self) -> str:
        return f"NATS at {self.broker.url}"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        missing = [why for user in self.broker.users if (why := credentials.missing(user))]
        foreign = [f"{path.stem} is no device any more" for path in self._foreign()]
        if missing or foreign:
            return (*missing, *foreign)
        return self._server().differences(self._host(topology))

    def bring_about(self, topology: LabHost) -> None:
        self.broker.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for user in self.broker.users:
            if credentials.missing(user):
                credentials.ensure(user)
        self._server().bring_about(self._host(topology))
        for path in self._foreign():
            path.unlink()

    def _host(self, topology: LabHost) -> NatsHost:
        return NatsHost(topology, self.broker.directory)

    def _server(self) -> NatsBasicScore:
        broker = self.broker
        return NatsBasicScore(
            NatsServer(
                name=PART,
                store=str(broker.directory / "store"),
                users=tuple(map(credentials.server_user, broker.users)),
                address=broker.address,
                port=broker.port,
                monitor=f"127.0.0.1:{broker.monitor_port}",
                max_pending=nats_server.pending_for(len(broker.devices)),
                max_file_store=nats_server.file_store_for(len(broker.devices)),
            )
        )

    def _foreign(self) -> Iterable[Path]:
        wanted = {user.credentials for user in self.broker.users}
        found = (self.broker.directory / "credentials" / "devices").glob("*.json")
        return sorted(set(found) - wanted)


def broker(host: LabHost, devices: Iterable[DeviceId], address: str = "") -> Broker:
    """Describe the broker of the lab on *host*, at the bridge's address unless told."""
    address = address or host.address
    return Broker(
        directory=host.state / "broker",
        address=address,
        port=host.port(PART, prefer=CLIENT_PORT, address=address),
        monitor_port=host.port(_MONITOR),
        devices=tuple(devices),
    )


def scores(wanted: Broker) -> tuple[Score[LabHost], ...]:
    """List what makes a broker that answers."""
    return (BrokerScore(wanted),)
