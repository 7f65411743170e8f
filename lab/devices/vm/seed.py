"""
What a machine is told at its first boot: who it is, its address, and the whole of its set-up.

It sets itself up by the score that `lab.devices.vm.setup` interprets over SSH later, so both
end in the same device. Its SSH host key is made here, and pinned before it is ever on.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from fleet import errors
from fleet.contracts.names import DeviceId
from fleet.scores.device import configuration, keys, seed_iso, seeds, travelling
from fleet.scores.device.configuration import FleetDeviceSetupConfig, Hub, RegistryLogin
from fleet.scores.device.keys import HostKey
from fleet.scores.device.seeds import Link
from fleet.scores.score import Score
from lab.devices.vm import access, agent_bundles
from lab.devices.vm import device as devices
from lab.devices.vm.device import VmDevice
from lab.host import files
from lab.host.lab_host import LabHost
from lab.host.ledger import Kind

_JITTER_SECONDS = 2  # a lab's few devices are no stampede, and somebody waits for them
_SECRET = 0o600


@dataclass(frozen=True)
class KeysScore(Score[LabHost]):
    """*device* has its SSH host key, and clients of this lab have its pin."""

    device: VmDevice

    @property
    def name(self) -> str:
        return f"keys {self.device.id}"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        try:
            pin = _pin(topology, self.device)
        except (FileNotFoundError, errors.InvalidConfig) as exc:
            return (f"its host key can't be read: {exc}",)
        where = devices.places(topology, self.device.id).known_hosts
        pinned = where.exists() and where.read_text() == pin
        return () if pinned else (f"{where} doesn't pin its host key",)

    def bring_about(self, topology: LabHost) -> None:
        where = devices.places(topology, self.device.id)
        try:
            host_key(topology, self.device)
        except FileNotFoundError:
            files.write(where.host_key, keys.new_host_key().private, _SECRET)
        files.write(where.known_hosts, _pin(topology, self.device))


def host_key(topology: LabHost, device: VmDevice) -> HostKey:
    """
    Return the host key of *device*.

    :raises FileNotFoundError: it has none yet.
    """
    return keys.host_key(devices.places(topology, device.id).host_key.read_text())


def _pin(topology: LabHost, device: VmDevice) -> str:
    return host_key(topology, device).pin(devices.address(topology, device))


@dataclass(frozen=True)
class SeedScore(Score[LabHost]):
    """
    There is a seed for the first boot of *device*.

    Once it is set up the seed stays as it is, whatever changes: cloud-init would take the machine
    for another one, and set it up from the start.
    """

    device: VmDevice

    @property
    def name(self) -> str:
        return f"seed {self.device.id}"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        where = devices.places(topology, self.device.id)
        if not where.seed.exists() or not where.seeded.exists():
            return (f"{where.seed} is missing",)
        entry = topology.ledger.find(Kind.DOMAIN, self.device.id)
        if entry is not None and entry.facts.get("set_up"):
            return ()
        same = where.seeded.read_text() == digest(self.device)
        return () if same else (f"{where.seed} holds another set-up",)

    def bring_about(self, topology: LabHost) -> None:
        where = devices.places(topology, self.device.id)
        link = Link(
            mac=devices.mac(topology, self.device),
            address=IPv4Interface(f"{devices.address(topology, self.device)}/24"),
            gateway=IPv4Address(topology.address),
        )
        key = host_key(topology, self.device)
        seed = seeds.self_set(setup(self.device), host_key=key, link=link)
        seed_iso.ensure_seed(where.seed, seed)
        files.write(where.seeded, digest(self.device))


def digest(device: VmDevice) -> str:
    """Return the digest of the whole set-up of *device*; empty before the hub knows it."""
    try:
        return files.digest(travelling.encode(setup(device)))
    except errors.InvalidConfig:
        return ""


def setup(device: VmDevice) -> FleetDeviceSetupConfig:
    """
    Describe *device* as it is to be.

    :raises errors.InvalidConfig: the hub has no credentials for it yet.
    """
    return FleetDeviceSetupConfig(
        device_id=DeviceId(device.id),
        labels=dict(device.labels),
        hub=Hub(
            url=device.nats_url,
            credentials=configuration.credentials(device.credentials),
            jitter=_JITTER_SECONDS,
            heartbeat_interval=device.heartbeat_interval,
        ),
        bundle=agent_bundles.bundle_of(device.image),
        admin_keys=(access.keypair().public,),
        admin_password=configuration.admin_password(),
        registries={device.registry: RegistryLogin(insecure=True)},
    )
