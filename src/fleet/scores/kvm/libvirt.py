"""
libvirt through its binding: the adapter behind `hypervisor.Hypervisor`, and its only importer.

The binding is a compiled extension that only hosts with libvirt have, so it is imported when a
connection is opened, never before. A connection that broke is opened again by the next call.

A daemon that hangs holds nobody up for good. Once connected, libvirt's own keep-alive notices: the
daemon answers it from its main loop, also while a call takes minutes, so no call needs a time limit
of its own. It takes libvirt's event loop, which a thread runs. Before that, while a connection is
being opened, nothing of libvirt's bounds the wait, so it is opened in a thread that can be left.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit
from uuid import UUID
from xml.etree import ElementTree as ET

from fleet import errors
from fleet.scores.kvm.addresses import MacAddress
from fleet.scores.kvm.domains import Accelerator
from fleet.scores.kvm.hypervisor import (
    DomainState,
    NetworkState,
    PoolState,
    Power,
    VolumeState,
)
from fleet.scores.linux.architecture import Arch

PATIENCE = 45.0  # a daemon that looks at every emulator first takes half as long when emulated
_PINGS = 2  # unanswered ones, at even distances, and the connection counts as broken
_loop = threading.Lock()
_looping: list[threading.Thread] = []


class LibvirtHypervisor:
    """
    `hypervisor.Hypervisor` over one connection. May be shared between threads.

    After *patience* seconds without a sign of life from libvirt it counts as not answering.
    """

    def __init__(self, uri: str, *, read_only: bool = False, patience: float = PATIENCE) -> None:
        self._uri = uri
        self._read_only = read_only
        self._patience = patience
        self._lock = threading.Lock()
        self._connection: Any = None

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
        with self._lock:
            held, self._connection = self._connection, None
        if held is not None:
            with contextlib.suppress(_binding().libvirtError):
                held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def uri(self) -> str:
        """See `hypervisor.Hypervisor`."""
        return self._uri

    def version(self) -> str:
        """See `hypervisor.Hypervisor`."""
        with self._asking() as connection:
            return _dotted(connection.getLibVersion())

    def emulator_version(self) -> str:
        """See `hypervisor.Hypervisor`."""
        with self._asking() as connection:
            return _dotted(connection.getVersion())

    def runs(self, arch: Arch, accelerator: Accelerator) -> bool:
        """See `hypervisor.Hypervisor`."""
        kind = "kvm" if accelerator is Accelerator.KVM else "qemu"
        with self._asking() as connection:
            told = ET.fromstring(connection.getCapabilities())  # noqa: S314 - libvirt's own
        return told.find(f"guest/arch[@name='{arch}']/domain[@type='{kind}']") is not None

    # Domains

    def domains(self) -> tuple[DomainState, ...]:
        """See `hypervisor.Hypervisor`."""
        with self._asking() as connection:
            found = [_domain_state(domain) for domain in connection.listAllDomains()]
        return tuple(sorted(found, key=lambda domain: domain.name))

    def find(self, name: str) -> DomainState | None:
        """See `hypervisor.Hypervisor`."""
        with self._asking(name) as connection:
            domain = _or_none(lambda: connection.lookupByName(name), _gone().domain)
            return None if domain is None else _domain_state(domain)

    def define(self, xml: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._asking(_name(xml)) as connection:
            connection.defineXMLFlags(xml, _binding().VIR_DOMAIN_DEFINE_VALIDATE)

    def undefine(self, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        libvirt = _binding()
        with self._domain(name) as domain:
            _first_that_works(
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
                domain.createWithFlags(_binding().VIR_DOMAIN_START_PAUSED if paused else 0)

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
            if _power(domain) is not Power.PAUSED:
                domain.suspend()

    def resume(self, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._domain(name) as domain:
            if _power(domain) is not Power.RUNNING:
                domain.resume()

    def save(self, name: str, path: Path) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._domain(name) as domain:
            domain.save(str(path))

    def restore(self, path: Path, *, paused: bool = False) -> None:
        """See `hypervisor.Hypervisor`."""
        libvirt = _binding()
        flag = libvirt.VIR_DOMAIN_SAVE_PAUSED if paused else libvirt.VIR_DOMAIN_SAVE_RUNNING
        with self._asking(str(path)) as connection:
            connection.restoreFlags(str(path), None, flag)

    def saved_xml(self, path: Path) -> str:
        """See `hypervisor.Hypervisor`."""
        with self._asking(str(path)) as connection:
            return str(connection.saveImageGetXMLDesc(str(path)))

    def set_link(self, name: str, mac: MacAddress, *, up: bool) -> None:
        """See `hypervisor.Hypervisor`."""
        libvirt = _binding()
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
        with self._asking(name) as connection:
            found = _or_none(lambda: connection.networkLookupByName(name), _gone().network)
            return None if found is None else _network_state(found)

    def define_network(self, xml: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._asking(_name(xml)) as connection:
            connection.networkDefineXML(xml)

    def start_network(self, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._asking(name) as connection:
            network = connection.networkLookupByName(name)
            _activate(network)
            network.setAutostart(1)

    def stop_network(self, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._asking(name) as connection:
            network = connection.networkLookupByName(name)
            if network.isActive():
                network.destroy()

    def undefine_network(self, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        self.stop_network(name)
        with self._asking(name) as connection:
            connection.networkLookupByName(name).undefine()

    # Pools

    def find_pool(self, name: str) -> PoolState | None:
        """See `hypervisor.Hypervisor`."""
        with self._asking(name) as connection:
            found = _or_none(lambda: connection.storagePoolLookupByName(name), _gone().pool)
            return None if found is None else _pool_state(found)

    def define_pool(self, xml: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._asking(_name(xml)) as connection:
            connection.storagePoolDefineXML(xml).build()

    def start_pool(self, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._asking(name) as connection:
            pool = connection.storagePoolLookupByName(name)
            _activate(pool)
            pool.setAutostart(1)

    def undefine_pool(self, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._asking(name) as connection:
            pool = connection.storagePoolLookupByName(name)
            if pool.isActive():
                pool.destroy()
            pool.undefine()

    def volumes(self, pool: str) -> tuple[VolumeState, ...]:
        """See `hypervisor.Hypervisor`."""
        with self._asking(pool) as connection:
            opened = connection.storagePoolLookupByName(pool)
            opened.refresh()
            found = [_volume_state(volume) for volume in opened.listAllVolumes()]
        return tuple(sorted(found, key=lambda volume: volume.name))

    def delete_volume(self, pool: str, name: str) -> None:
        """See `hypervisor.Hypervisor`."""
        with self._asking(name) as connection:
            connection.storagePoolLookupByName(pool).storageVolLookupByName(name).delete()

    # The connection

    @contextlib.contextmanager
    def _domain(self, name: str) -> Iterator[Any]:
        with self._asking(name) as connection:
            yield connection.lookupByName(name)

    @contextlib.contextmanager
    def _asking(self, element: str = "") -> Iterator[Any]:
        """Lend the connection; what libvirt raises meanwhile becomes one of our errors."""
        libvirt = _binding()
        connection = self._opened()
        try:
            yield connection
        except libvirt.libvirtError as exc:
            if not _is_alive(connection):
                raise self._broken_off(exc) from exc
            message = f"{self._uri}: {exc.get_error_message()}"
            raise errors.HypervisorRefused(message, element=element) from exc

    def _opened(self) -> Any:
        libvirt = _binding()
        with self._lock:
            if self._connection is not None and _is_alive(self._connection):
                return self._connection
            self._connection = None  # closed by its last user's leaving it
            opening = libvirt.openReadOnly if self._read_only else libvirt.open
            try:
                self._connection = _in_time(lambda: opening(self._uri), self._patience)
            except libvirt.libvirtError as exc:
                what = f"libvirt doesn't answer at {self._uri}: {_said(exc)}"
                raise self._unavailable(what) from exc
            except TimeoutError as exc:
                raise self._silent() from exc
            _keep_alive(self._connection, self._patience)
            return self._connection

    def _broken_off(self, exc: Any) -> errors.HypervisorUnavailable:
        said = _said(exc)
        if "keepalive" in said:
            return self._silent()
        return self._unavailable(
            f"libvirt at {self._uri} broke off in the middle ({said}), and may have done what it"
            " was asked, or not: see `journalctl --unit 'libvirtd*' --unit 'virt*'` there, then run"
            " this again"
        )

    def _silent(self) -> errors.HypervisorUnavailable:
        return self._unavailable(
            f"libvirt at {self._uri} takes connections, and has not said a word for"
            f" {self._patience:g} s: it hangs. `systemctl restart libvirtd` (or virtqemud) there"
            " ends that, and its machines run on"
        )

    def _unavailable(self, what: str) -> errors.HypervisorUnavailable:
        where = urlsplit(self._uri).hostname or "this machine"
        return errors.HypervisorUnavailable(f"{where}: {what}", element=self._uri)


class _gone:  # noqa: N801 - read as a word: "domain gone"
    """The codes by which libvirt says that a thing isn't there."""

    def __init__(self) -> None:
        libvirt = _binding()
        self.domain = libvirt.VIR_ERR_NO_DOMAIN
        self.network = libvirt.VIR_ERR_NO_NETWORK
        self.pool = libvirt.VIR_ERR_NO_STORAGE_POOL


def _binding() -> Any:
    """
    Import the binding, and have it raise errors without printing them besides.

    :raises errors.HypervisorUnavailable: it isn't installed.
    """
    try:
        import libvirt  # noqa: PLC0415 - see the module's docstring
    except ImportError as exc:
        raise errors.HypervisorUnavailable(
            "libvirt's binding for Python is not installed: see requirements/libvirt.txt",
            element="libvirt",
        ) from exc
    with _loop:
        if not _looping:
            libvirt.registerErrorHandler(_say_nothing, None)
            libvirt.virEventRegisterDefaultImpl()
            _looping.append(threading.Thread(target=_run_events, args=(libvirt,), daemon=True))
            _looping[0].start()
    return libvirt


def _run_events(libvirt: Any) -> NoReturn:
    while True:
        with contextlib.suppress(libvirt.libvirtError):
            libvirt.virEventRunDefaultImpl()


def _in_time(opening: Callable[[], Any], within: float) -> Any:
    """
    Return what *opening* returns, from a thread that is left behind when it takes too long.

    :raises TimeoutError: *within* seconds have passed. What it opens later is closed at once.
    """
    opened: futures.Future[Any] = futures.Future()

    def work() -> None:
        try:
            opened.set_result(opening())
        except BaseException as exc:  # noqa: BLE001 - it is raised where it is waited for
            opened.set_exception(exc)

    threading.Thread(target=work, daemon=True).start()
    return opened.result(within)


def _keep_alive(connection: Any, patience: float) -> None:
    libvirt = _binding()
    try:
        connection.setKeepAlive(max(1, round(patience / (_PINGS + 1))), _PINGS)
    except libvirt.libvirtError as exc:
        if exc.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:  # a driver in our own process
            raise


def _said(exc: Any) -> str:
    return str(exc.get_error_message() or exc)


def _say_nothing(_context: object, _error: object) -> None:
    """Take an error that is raised anyway."""


def _is_alive(connection: Any) -> bool:
    try:
        return bool(connection.isAlive())
    except _binding().libvirtError:
        return False


def _activate(thing: Any) -> None:
    """Bring a network or a pool up; somebody else may do the same at this moment."""
    if thing.isActive():
        return
    try:
        thing.create()
    except _binding().libvirtError:
        if not thing.isActive():
            raise


def _or_none(looking: Callable[[], Any], gone: int) -> Any:
    """Look something up; None where libvirt says by the code *gone* that it isn't there."""
    try:
        return looking()
    except _binding().libvirtError as exc:
        if exc.get_error_code() == gone:
            return None
        raise


def _first_that_works(*ways: Callable[[], Any]) -> Any:
    """Return what the first way returns that the driver knows: not every one knows every flag."""
    libvirt = _binding()
    unknown = {libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_SUPPORT}
    for way in ways[:-1]:
        try:
            return way()
        except libvirt.libvirtError as exc:
            if exc.get_error_code() not in unknown:
                raise
    return ways[-1]()


def _domain_state(domain: Any) -> DomainState:
    state, reason = _looked_up(domain)
    return DomainState(
        name=domain.name(),
        uuid=UUID(domain.UUIDString()),
        state=state,
        reason=reason,
        xml=domain.XMLDesc(_binding().VIR_DOMAIN_XML_INACTIVE),
    )


def _power(domain: Any) -> Power:
    return _looked_up(domain)[0]


def _looked_up(domain: Any) -> tuple[Power, str]:
    libvirt = _binding()
    state, reason = domain.state()
    powers = {
        libvirt.VIR_DOMAIN_NOSTATE: (Power.RUNNING, ""),
        libvirt.VIR_DOMAIN_RUNNING: (Power.RUNNING, "RUNNING"),
        libvirt.VIR_DOMAIN_BLOCKED: (Power.RUNNING, "BLOCKED"),
        libvirt.VIR_DOMAIN_PAUSED: (Power.PAUSED, "PAUSED"),
        libvirt.VIR_DOMAIN_SHUTDOWN: (Power.STOPPING, "SHUTDOWN"),
        libvirt.VIR_DOMAIN_SHUTOFF: (Power.OFF, "SHUTOFF"),
        libvirt.VIR_DOMAIN_CRASHED: (Power.CRASHED, "CRASHED"),
        libvirt.VIR_DOMAIN_PMSUSPENDED: (Power.ASLEEP, "PMSUSPENDED"),
    }
    power, word = powers[state]
    return power, _reason(word, reason)


def _reason(state: str, number: int) -> str:
    """Return libvirt's word for a reason: its constants are named for them."""
    prefix = f"VIR_DOMAIN_{state}_"
    for name, value in vars(_binding()).items():
        if name.startswith(prefix) and value == number:
            return str(name).removeprefix(prefix).lower().replace("_", " ")
    return f"reason {number}"


def _network_state(network: Any) -> NetworkState:
    inactive = _binding().VIR_NETWORK_XML_INACTIVE
    described = _first_that_works(lambda: network.XMLDesc(inactive), network.XMLDesc)
    bridge = ET.fromstring(described).find("bridge")  # noqa: S314 - libvirt's own
    return NetworkState(
        name=network.name(),
        uuid=UUID(network.UUIDString()),
        is_active=bool(network.isActive()),
        starts_itself=bool(network.autostart()),
        bridge="" if bridge is None else bridge.get("name", ""),
        xml=described,
    )


def _pool_state(pool: Any) -> PoolState:
    return PoolState(
        name=pool.name(),
        uuid=UUID(pool.UUIDString()),
        is_active=bool(pool.isActive()),
        starts_itself=bool(pool.autostart()),
        xml=pool.XMLDesc(),
    )


def _volume_state(volume: Any) -> VolumeState:
    _, capacity, allocation = volume.info()
    described = ET.fromstring(volume.XMLDesc())  # noqa: S314 - libvirt's own
    backing = described.findtext("backingStore/path")
    return VolumeState(
        name=volume.name(),
        path=Path(volume.path()),
        capacity=int(capacity),
        allocation=int(allocation),
        backing=Path(backing) if backing else None,
    )


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
