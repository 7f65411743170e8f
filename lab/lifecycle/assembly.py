"""What a lab is assembled from: its parts by name, and the stages that bring them about."""

from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

from fleet.contracts.names import DeviceId
from fleet.scores.score import Score
from lab.devices import host as host_devices
from lab.devices.agent_environment import AgentEnvironmentScore
from lab.devices.host_device import HostDevice
from lab.devices.vm import parts as machines
from lab.devices.vm import setup
from lab.devices.vm.device import DEFAULT_MEMORY_MIB, VmDevice
from lab.devices.vm.hypervisor.admission import Gate
from lab.host.cgroups import CgroupsScore
from lab.host.lab_host import LabHost
from lab.host.network import BridgeScore, FirewallScore
from lab.images import demo_images, shared_store
from lab.images.push import PushedScore
from lab.images.shared_store import BaseStoreScore
from lab.lifecycle import demo
from lab.lifecycle.ready import DevicesReadyScore
from lab.lifecycle.registration import Registering, Restart
from lab.lifecycle.stages import Plan, Stage
from lab.lifecycle.topology import Backend, Device, Topology
from lab.services import operator, registry
from lab.services.broker import stage as broker
from lab.services.broker.stage import Broker
from lab.services.cluster import stage as cluster
from lab.services.cluster.control_plane import ControlPlane
from lab.services.operator import Operator
from lab.services.registry import Registry

LabDevice: TypeAlias = HostDevice | VmDevice


@dataclass(frozen=True, slots=True)
class Assembly:
    """The parts of one lab."""

    host: LabHost
    plane: ControlPlane
    broker: Broker
    registry: Registry
    operator: Operator
    devices: tuple[LabDevice, ...]

    @property
    def hosts(self) -> tuple[HostDevice, ...]:
        """Return the devices that are namespaces of this host."""
        return tuple(each for each in self.devices if isinstance(each, HostDevice))

    @property
    def machines(self) -> tuple[VmDevice, ...]:
        """Return the devices that are virtual machines."""
        return tuple(each for each in self.devices if isinstance(each, VmDevice))


def assemble(host: LabHost, topology: Topology) -> Assembly:
    """Describe every part of the lab on *host*."""
    plane = cluster.control_plane(host)
    hub = broker.broker(host, (DeviceId(device.id) for device in topology.devices))
    images = registry.registry(host)
    interval = topology.heartbeat_interval
    return Assembly(
        host=host,
        plane=plane,
        broker=hub,
        registry=images,
        operator=operator.operator(host, plane, hub, silence=topology.silence),
        devices=tuple(
            replace(_device(host, hub, images, index, device), heartbeat_interval=interval)
            for index, device in topology.numbered()
        ),
    )


def _device(host: LabHost, hub: Broker, images: Registry, index: int, device: Device) -> LabDevice:
    credentials = hub.device(DeviceId(device.id))
    match device.backend:
        case Backend.HOST:
            return HostDevice(
                id=device.id,
                index=index,
                labels=device.labels,
                nats_url=hub.url,
                credentials=credentials,
                registry=images.address,
                base=None if device.rootless else shared_store.store_of(host),
                user=host.addresses.user(index) if device.rootless else None,
            )
        case Backend.VM:
            return VmDevice(
                id=device.id,
                index=index,
                labels=device.labels,
                nats_url=hub.url,
                credentials=credentials,
                registry=images.address,
                arch=device.machine_arch,
                image=device.machine_image,
                memory_mib=device.memory or DEFAULT_MEMORY_MIB,
            )
        case _:
            assert_never(device.backend)


def plans(lab: Assembly) -> tuple[Plan, ...]:
    """Return the stages in order. Budgets suit a slow, busy host: several times what it takes."""
    demos = demo_images.published(tuple(machine.arch for machine in lab.machines))
    pushed = PushedScore(lab.registry.address, demos)
    gate = Gate()
    return (
        Plan(Stage.NETWORK, (BridgeScore(), FirewallScore()), budget=30),
        Plan(Stage.CONTROL_PLANE, cluster.scores(lab.plane), budget=240),
        Plan(Stage.BROKER, broker.scores(lab.broker), budget=60),
        Plan(Stage.REGISTRY, (*registry.scores(lab.registry), pushed), budget=60),
        Plan(Stage.OPERATOR, operator.scores(lab.operator), budget=90),
        Plan(
            Stage.DEVICES,
            (*_ground_of_hosts(lab), *machines.ground(lab.host, lab.machines)),
            budget=600 + 30 * len(lab.hosts) + machines.budget(lab.machines),
            lanes={device.id: _lane(lab.host, device, gate) for device in lab.devices},
        ),
        Plan(
            Stage.READY,
            (
                demo.score(lab.host, lab.registry.address),
                DevicesReadyScore(
                    lab.plane,
                    tuple(device.id for device in lab.devices),
                    tuple(device.agent_part for device in lab.hosts),
                    Registering(lab.broker, {each.id: _restart(each) for each in lab.devices}),
                ),
            ),
            budget=180,
        ),
    )


def _restart(device: LabDevice) -> Restart:
    match device:
        case HostDevice():
            return lambda host: host_devices.restart_agent(host, device)
        case VmDevice():
            return lambda host: setup.restart_agent(host, device)
        case _:
            assert_never(device)


def _ground_of_hosts(lab: Assembly) -> tuple[Score[LabHost], ...]:
    if not lab.hosts:
        return ()
    return (
        AgentEnvironmentScore(),
        BaseStoreScore(),
        CgroupsScore(),
        *host_devices.ground(lab.host, (device.id for device in lab.hosts)),
    )


def _lane(host: LabHost, device: LabDevice, gate: Gate) -> tuple[Score[LabHost], ...]:
    match device:
        case HostDevice():
            return host_devices.scores(host, device)
        case VmDevice():
            return machines.scores(device, gate)
        case _:
            assert_never(device)
