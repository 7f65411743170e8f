"""
Whether podman forwards what comes in at the address of a published port.

Under root it binds an IPv6 address also where its network has none to forward to: connections are
taken, and nobody ever answers. A rootless podman forwards by a process, which needs none.
"""

from collections.abc import Mapping
from typing import Any

from fleet import errors
from fleet.agent.runtimes.podman.api import answers, error_messages
from fleet.agent.runtimes.podman.api.client import Request
from fleet.agent.runtimes.podman.api.networks import USUAL
from fleet.contracts import scores


def needs_ipv6(service: scores.Service) -> bool:
    """Tell whether a port of *service* is published on one IPv6 address."""
    return bool(_ipv6(service))


def check(service: scores.Service, network: Any, request: Request) -> None:
    """
    Check that podman forwards the ports of *service* to its *network*. Blocks: it asks podman.

    A network that isn't there yet is made like podman's usual one.

    :raises errors.AddressUnavailable: it doesn't.
    """
    if network is None:
        network = answers.lenient(request("GET", f"/networks/{USUAL}/json"))
    if not isinstance(network, Mapping) or network.get("ipv6_enabled") is not False:
        return
    if not _is_rootless(answers.lenient(request("GET", "/info"))):
        what = f"nothing is forwarded from {_ipv6(service)[0]}: podman's network has no IPv6"
        raise error_messages.unable(errors.AddressUnavailable, what, element=service.name)


def _ipv6(service: scores.Service) -> list[str]:
    addresses = (port.host_ip for port in service.ports)
    return [each for each in addresses if ":" in each and each not in scores.EVERY_ADDRESS]


def _is_rootless(info: Any) -> bool:
    try:
        return bool(info["host"]["security"]["rootless"])
    except (KeyError, TypeError):
        return True
