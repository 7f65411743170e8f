"""The cable of a machine's network interface, plugged and unplugged."""

from fleet.scores.capabilities import HasLibvirt
from fleet.scores.kvm.addresses import MacAddress


def set_interface_link(host: HasLibvirt, domain: str, mac: MacAddress, up: bool) -> None:
    """
    Plug in (*up*) or unplug the cable of the interface with address *mac* of a domain.

    :raises errors.HypervisorRefused: there is no such domain, or it has no such interface.
    """
    host.hypervisor.set_link(domain, mac, up=up)
