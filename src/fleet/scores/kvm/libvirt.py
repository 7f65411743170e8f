"""The adapter behind `hypervisor.Hypervisor`: libvirt, through its binding for Python."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self
from xml.etree import ElementTree as ET

from fleet import errors
from fleet.scores.kvm import states
from fleet.scores.kvm.addresses import MacAddress
from fleet.scores.kvm.connection import PATIENCE, Connection, binding, first_that_works
from fleet.scores.kvm.domains import Accelerator
from fleet.scores.kvm.hypervisor import (
    DomainState,
    NetworkState,
    PoolState,
    Power,
    VolumeState,
)
from fleet.scores.linux.architecture import Arch


class LibvirtHypervisor:
    """
    `hypervisor.Hypervisor` over one connection. May be shared between threads.

    See `connection` for how it is opened, and what *patience* (in seconds) is.
    """

    def __init__(self, uri: str, *, read_only: bool = False, patience: float = PATIENCE) -> None:
        self._connection = Connection(uri, read_only=read_only, patience=patience)

    @classmethod
    def connect(cls, uri: str, *, read_only: bool = False, patience: float = PATIENCE) -> Self:
        """
        Connect to *uri*, as `virsh -c` takes it.

        :raises errors.HypervisorUnavailable: nothing answers there, or the binding is missing.
        """
        made = cls(uri, read_only=read_only, patience=patience)
        made.version()
        return made

    def close(self) -> None:
        """Close the connection; the next call would open another."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def uri(self) -> str:
        """See `hypervisor.Hypervisor`."""
        return self._connection.uri

    def version(self) -> str:
        """See `hypervisor.Hypervisor`."""
        with self._connection.asking() as connection:
            return _dotted(connection.getLibVersion())

    def emulator_version(self) -> str:
        """See `hypervisor.Hypervisor`."""
        with self._connection.asking() as connection:
            return _dotted(connection.getVersion())

    def runs(self, arch: Arch, accelerator: Accelerator) -> bool:
        """See `hypervisor.Hypervisor`."""
        kind = "kvm" if accelerator is Accelerator.KVM else "qemu"
        with self._connection.asking() as connection:
            told = ET.fromstring(connection.getCapabilities())  # noqa: S314 - libvirt's own
        return told.find(f"guest/arch[@name='{arch}']/domain[@type='{kind}']") is not None

    # Domains

    def domains(self) -> tuple[DomainState, ...]:
        """See `hypervisor.Hypervisor`."""
        with self._connection.asking() as connection:
            found = [states.domain_state(domain) for domain in connection.listAllDomains()]
        return tuple(sorted(found, key=lambda domain: domain.name))

    def find(self, name: str) -> DomainState | None:
        """See `hypervisor.Hypervisor`."""
        with self._connection.asking(name) as connection:
            domain = _or_none(lambda: connection.lookupByName(name), _gone().domain)
            return None if domain is None else states.domain_state(domain)

    def define(self, xml: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._connection.asking(_name(xml)) as connection:
            connection.defineXMLFlags(xml, binding().VIR_DOMAIN_DEFINE_VALIDATE)

    def undefine(self, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        libvirt = binding()
        with self._domain(name) as domain:
            first_that_works(
                lambda: domain.undefineFlags(
                    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
                    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
                    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
                ),
                domain.undefine,
            )

    def start(self, name: str, *, paused: bool = False) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._domain(name) as domain:
            if not domain.isActive():
                domain.createWithFlags(binding().VIR_DOMAIN_START_PAUSED if paused else 0)

    def shut_down(self, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._domain(name) as domain:
            if domain.isActive():
                domain.shutdown()

    def destroy(self, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._domain(name) as domain:
            if domain.isActive():
                domain.destroy()

    def reboot(self, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._domain(name) as domain:
            domain.reboot()

    def reset(self, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._domain(name) as domain:
            domain.reset()

    def suspend(self, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._domain(name) as domain:
            if states.power(domain) is not Power.PAUSED:
                domain.suspend()

    def resume(self, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._domain(name) as domain:
            if states.power(domain) is not Power.RUNNING:
                domain.resume()

    def save(self, name: str, path: Path) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._domain(name) as domain:
            domain.save(str(path))

    def restore(self, path: Path, *, paused: bool = False) -> None:
        """See `hypervisor.Hypervisor`."""
        libvirt = binding()
        flag = libvirt.VIR_DOMAIN_SAVE_PAUSED if paused else libvirt.VIR_DOMAIN_SAVE_RUNNING
        with self._connection.asking(str(path)) as connection:
            connection.restoreFlags(str(path), None, flag)

    def saved_xml(self, path: Path) -> str:
        """See `hypervisor.Hypervisor`."""
        with self._connection.asking(str(path)) as connection:
            return str(connection.saveImageGetXMLDesc(str(path)))

    def set_link(self, name: str, mac: MacAddress, *, up: bool) -> None:
        """See `hypervisor.Hypervisor`."""
        libvirt = binding()
        with self._domain(name) as domain:
            live, later = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
            for flag in (live, later) if domain.isActive() else (later,):
                description = libvirt.VIR_DOMAIN_XML_INACTIVE if flag == later else 0
                device = _linked(domain.XMLDesc(description), name, mac, up=up)
                domain.updateDeviceFlags(device, flag)

    def console(self, name: str) -> Path:
        """See `hypervisor.Hypervisor`."""
        with self._domain(name) as domain:
            described = ET.fromstring(domain.XMLDesc())  # noqa: S314 - libvirt's own
        source = described.find("devices/serial[@type='pty']/source")
        if source is None:
            raise errors.HypervisorRefused(
                f"domain {name} has no serial console now: start it first", element=name
            )
        return Path(source.attrib["path"])

    # Networks

    def find_network(self, name: str) -> NetworkState | None:
        """See `hypervisor.Hypervisor`."""
        with self._connection.asking(name) as connection:
            found = _or_none(lambda: connection.networkLookupByName(name), _gone().network)
            return None if found is None else states.network_state(found)

    def define_network(self, xml: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._connection.asking(_name(xml)) as connection:
            connection.networkDefineXML(xml)

    def start_network(self, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._connection.asking(name) as connection:
            network = connection.networkLookupByName(name)
            _activate(network)
            network.setAutostart(1)

    def stop_network(self, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._connection.asking(name) as connection:
            network = connection.networkLookupByName(name)
            if network.isActive():
                network.destroy()

    def undefine_network(self, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        self.stop_network(name)
        with self._connection.asking(name) as connection:
            connection.networkLookupByName(name).undefine()

    # Pools

    def find_pool(self, name: str) -> PoolState | None:
        """See `hypervisor.Hypervisor`."""
        with self._connection.asking(name) as connection:
            found = _or_none(lambda: connection.storagePoolLookupByName(name), _gone().pool)
            return None if found is None else states.pool_state(found)

    def define_pool(self, xml: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._connection.asking(_name(xml)) as connection:
            connection.storagePoolDefineXML(xml).build()

    def start_pool(self, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._connection.asking(name) as connection:
            pool = connection.storagePoolLookupByName(name)
            _activate(pool)
            pool.setAutostart(1)

    def undefine_pool(self, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._connection.asking(name) as connection:
            pool = connection.storagePoolLookupByName(name)
            if pool.isActive():
                pool.destroy()
            pool.undefine()

    def volumes(self, pool: str) -> tuple[VolumeState, ...]:
        """See `hypervisor.Hypervisor`."""
        with self._connection.asking(pool) as connection:
            opened = connection.storagePoolLookupByName(pool)
            opened.refresh()
            found = [states.volume_state(volume) for volume in opened.listAllVolumes()]
        return tuple(sorted(found, key=lambda volume: volume.name))

    def delete_volume(self, pool: str, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._connection.asking(name) as connection:
            connection.storagePoolLookupByName(pool).storageVolLookupByName(name).delete()

    @contextlib.contextmanager
    def _domain(self, name: str) -> Iterator[Any]:
        with self._connection.asking(name) as connection:
            yield connection.lookupByName(name)


class _gone:  # noqa: N801 - read as a word: "domain gone"
    """The codes by which libvirt says that a thing isn't there."""

    def __init__(self) -> None:
        libvirt = binding()
        self.domain = libvirt.VIR_ERR_NO_DOMAIN
        self.network = libvirt.VIR_ERR_NO_NETWORK
        self.pool = libvirt.VIR_ERR_NO_STORAGE_POOL


def _activate(thing: Any) -> None:
    """Bring a network or a pool up; somebody else may do the same at this moment."""
    if thing.isActive():
        return
    try:
        thing.create()
    except binding().libvirtError:
        if not thing.isActive():
            raise


def _or_none(looking: Callable[[], Any], gone: int) -> Any:
    """Look something up; None where libvirt says by the code *gone* that it isn't there."""
    try:
        return looking()
    except binding().libvirtError as exc:
        if exc.get_error_code() == gone:
            return None
        raise


def _linked(described: str, name: str, mac: MacAddress, *, up: bool) -> str:
    """Return the description of the interface with *mac*, with its cable in or out."""
    for interface in ET.fromstring(described).iterfind("devices/interface"):  # noqa: S314
        address = interface.find("mac")
        if address is not None and address.get("address") == mac:
            for link in interface.findall("link"):
                interface.remove(link)
            ET.SubElement(interface, "link", {"state": "up" if up else "down"})
            return str(ET.tostring(interface, encoding="unicode"))
    raise errors.HypervisorRefused(f"domain {name} has no interface {mac}", element=str(mac))


def _name(xml: str) -> str:
    """Return the name in a description, for messages."""
    try:
        return str(ET.fromstring(xml).findtext("name", ""))  # noqa: S314 - ours
    except ET.ParseError:
        return ""


def _dotted(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
