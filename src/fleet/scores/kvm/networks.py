"""
What is wanted of a network of libvirt, and its XML. Decides only: no I/O.

A network has a bridge, and serves addresses on it by DHCP; a *nat* one lets its machines out
through the host, an isolated one doesn't. It carries its owner in its metadata.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, ip_interface
from xml.etree import ElementTree as ET

from fleet import errors
from fleet.scores.kvm.addresses import MacAddress
from fleet.scores.kvm.domains import INTERFACE_NAME_MAX
from fleet.scores.kvm.elements import NAMESPACE, element, metadata, text_of


@dataclass(frozen=True, slots=True)
class DhcpHost:
    """An address kept for one interface."""

    mac: MacAddress
    ip: IPv4Address
    name: str


@dataclass(frozen=True, slots=True)
class Network:
    """
    A network, as it is wanted. *gateway* is the host's address on it, with its prefix.

    Addresses from *first* to *last* are for whoever asks; without them, *hosts* alone get one.
    """

    name: str
    owner: str
    bridge: str
    gateway: IPv4Interface
    nat: bool = False
    first: IPv4Address | None = None
    last: IPv4Address | None = None
    hosts: tuple[DhcpHost, ...] = ()

    def __post_init__(self) -> None:
        broken = _broken_rule(self)
        if broken:
            raise errors.InvalidConfig(f"network {self.name!r}: {broken}", element=self.name)

    @property
    def uuid(self) -> uuid.UUID:
        """Return its id, the same each time: libvirt won't change one of another id."""
        return identity(self.owner, "network", self.name)


def identity(*parts: str) -> uuid.UUID:
    """Derive the id of a thing of ours from what it is."""
    return uuid.uuid5(uuid.NAMESPACE_URL, "\0".join((NAMESPACE, *parts)))


def xml(network: Network) -> str:
    """Write *network* as libvirt reads it."""
    root = element(
        "network",
        None,
        element("name", text=network.name),
        element("uuid", text=str(network.uuid)),
        metadata(network.owner),
    )
    if network.nat:
        root.append(element("forward", {"mode": "nat"}))
    root.append(element("bridge", {"name": network.bridge, "stp": "off", "delay": "0"}))
    root.append(_ip(network))
    return text_of(root)


def plugged_into(domain_xml: str) -> frozenset[str]:
    """Return the names of the networks that a domain is plugged into."""
    sources = ET.fromstring(domain_xml).iterfind("devices/interface[@type='network']/source")  # noqa: S314 - libvirt's own
    return frozenset(source.get("network", "") for source in sources)


def _ip(network: Network) -> ET.Element:
    gateway = network.gateway
    made = element("ip", {"address": str(gateway.ip), "netmask": str(gateway.netmask)})
    if network.first is not None or network.hosts:
        made.append(element("dhcp", None, *_dhcp(network)))
    return made


def _dhcp(network: Network) -> Iterable[ET.Element]:
    if network.first is not None:
        yield element("range", {"start": str(network.first), "end": str(network.last)})
    for host in network.hosts:
        yield element("host", {"mac": host.mac, "name": host.name, "ip": str(host.ip)})


def _broken_rule(network: Network) -> str:
    if not network.owner:
        return "it needs an owner, or nobody may ever change it"
    if not 0 < len(network.bridge) <= INTERFACE_NAME_MAX:
        return f"its bridge needs a name of 1 to {INTERFACE_NAME_MAX} characters"
    if (network.first is None) is not (network.last is None):
        return "a range has a first and a last address"
    if network.first is not None and network.last is not None and network.first > network.last:
        return f"its range begins at {network.first}, after it ends at {network.last}"
    return _broken_addresses(network)


def _broken_addresses(network: Network) -> str:
    subnet, gateway = network.gateway.network, network.gateway.ip
    for address in filter(None, (network.first, network.last, *(h.ip for h in network.hosts))):
        if ip_interface(address) not in subnet:
            return f"{address} is not in {subnet}"
        if address in {gateway, subnet.network_address, subnet.broadcast_address}:
            return f"{address} is taken: by the host, or by the network itself"
    for what, each in (
        ("hardware address", [host.mac for host in network.hosts]),
        ("address", [host.ip for host in network.hosts]),
        ("name", [host.name for host in network.hosts]),
    ):
        if len(set(each)) < len(each):
            return f"two of its hosts have the same {what}"
    return ""
