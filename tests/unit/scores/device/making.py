"""Configurations that the tests of this package start from."""

from pathlib import Path

from msgspec import structs

from fleet.contracts.names import DeviceId
from fleet.scores.device.bundle import Bundle
from fleet.scores.device.configuration import FleetDeviceSetupConfig, Hub, Secret
from fleet.scores.linux.architecture import Arch

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJQ0sPm7 fleet"
CREDENTIALS = '{"user": "dev-01", "password": "top secret"}\n'
BUNDLE = Bundle(
    path=Path("/somewhere/fleet-agent.tar.gz"),
    version="0.1.0+s12345678",
    digest="0" * 64,
    arch=Arch.X86_64,
    python="3.11",
)
CONFIG = FleetDeviceSetupConfig(
    device_id=DeviceId("dev-01"),
    labels={"site": "lab", "example.com/tier": "edge"},
    hub=Hub(url="nats://10.213.1.1:4222", credentials=Secret(CREDENTIALS)),
    bundle=BUNDLE,
    admin_keys=(PUBLIC_KEY,),
    time_servers=("10.213.1.1",),
)


def config(**changes):
    return structs.replace(CONFIG, **changes)
