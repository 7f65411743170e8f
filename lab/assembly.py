"""What a lab is assembled from: its parts by name, and the stages that bring them about."""

from dataclasses import dataclass

from fleet.contracts.names import DeviceId
from lab import demo, operator, registry
from lab.broker import stage as broker
from lab.broker.stage import Broker
from lab.cgroups import CgroupsScore
from lab.cluster import stage as cluster
from lab.cluster.plane import ControlPlane
from lab.devices import host as host_devices
from lab.devices.environment import AgentEnvironmentScore
from lab.devices.host import HostDevice
from lab.host import LabHost
from lab.images import catalogue, sharing
from lab.images.pushing import PushedScore
from lab.images.sharing import BaseStoreScore
from lab.network import BridgeScore, FirewallScore
from lab.operator import Operator
from lab.ready import DevicesReadyScore
from lab.registry import Registry
from lab.stages import Plan, Stage
from lab.topology import Topology


@dataclass(frozen=True, slots=True)
class Assembly:
    """The parts of one lab."""

    host: LabHost
    plane: ControlPlane
    broker: Broker
    registry: Registry
    operator: Operator
    devices: tuple[HostDevice, ...]


def assemble(host: LabHost, topology: Topology) -> Assembly:
    """Describe every part of the lab on *host*."""
    plane = cluster.control_plane(host)
    hub = broker.broker(host, (DeviceId(device.id) for device in topology.devices))
    images = registry.registry(host)
    return Assembly(
        host=host,
        plane=plane,
        broker=hub,
        registry=images,
        operator=operator.operator(host, plane, hub),
        devices=tuple(
            HostDevice(
                id=device.id,
                index=index,
                labels=device.labels,
                nats_url=hub.url,
                credentials=hub.device(DeviceId(device.id)),
                registry=images.address,
                base=None if device.rootless else sharing.store_of(host),
                user=host.addresses.user(index) if device.rootless else None,
            )
            for index, device in topology.numbered()
        ),
    )


def plans(lab: Assembly) -> tuple[Plan, ...]:
    """Return the stages in order. Budgets suit a slow, busy host: several times what it takes."""
    pushed = PushedScore(lab.registry.address, catalogue.demos())
    return (
        Plan(Stage.NETWORK, (BridgeScore(), FirewallScore()), budget=30),
        Plan(Stage.CONTROL_PLANE, cluster.scores(lab.plane), budget=240),
        Plan(Stage.BROKER, broker.scores(lab.broker), budget=60),
        Plan(Stage.REGISTRY, (*registry.scores(lab.registry), pushed), budget=60),
        Plan(Stage.OPERATOR, operator.scores(lab.operator), budget=90),
        Plan(
            Stage.DEVICES,
            (
                AgentEnvironmentScore(),
                BaseStoreScore(),
                CgroupsScore(),
                *host_devices.ground(lab.host, (device.id for device in lab.devices)),
            ),
            budget=600 + 30 * len(lab.devices),
            lanes={device.id: host_devices.scores(lab.host, device) for device in lab.devices},
        ),
        Plan(
            Stage.READY,
            (
                demo.score(lab.host, lab.registry.address),
                DevicesReadyScore(
                    lab.plane,
                    tuple(device.id for device in lab.devices),
                    tuple(device.agent_part for device in lab.devices),
                ),
            ),
            budget=180,
        ),
    )
