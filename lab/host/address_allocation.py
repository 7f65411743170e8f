"""
Gives each lab a /24 that nothing else on this host uses.

Choosing and taking happen under one lock for the whole host (`lab.system.locks`). What is taken is
looked up: addresses and routes of the host, and labs of this data directory, also those that are
not up. Who holds it is in every error.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from lab.errors import LabBusy
from lab.host import network
from lab.host.lab_host import Addresses, read_json
from lab.system import commands

NUMBERS = range(1, 255)


@dataclass(frozen=True, slots=True)
class Taken:
    """A network that somebody uses."""

    network: IPv4Network
    holder: str


def choose(taken: Iterable[Taken]) -> int:
    """Return the lowest number whose /24 overlaps nothing *taken*."""
    held = tuple(taken)
    for number in NUMBERS:
        if holder_of(number, held) is None:
            return number
    holders = ", ".join(sorted({entry.holder for entry in held}))
    raise LabBusy(
        "every /24 of 10.213.0.0/16 is taken", hint=f"take a lab down; they are held by {holders}"
    )


def holder_of(number: int, taken: Iterable[Taken]) -> str | None:
    """Return who holds the /24 of lab *number*, if somebody does."""
    subnet = Addresses(number).subnet
    return next((entry.holder for entry in taken if entry.network.overlaps(subnet)), None)


def look_around(labs: Path, *, but: str) -> tuple[Taken, ...]:
    """Return every network in use, except what lab *but* of directory *labs* holds itself."""
    mine = read_json(labs / but / "lab.json").get("number")
    bridge = Addresses(mine).bridge if mine else None
    return (
        *_of_labs(labs, but),
        *_of_addresses(_links(), bridge),
        *_of_routes(json.loads(commands.run("ip", "-j", "-4", "route", "show")), bridge),
    )


def _links() -> list[dict[str, Any]]:
    links = json.loads(commands.run("ip", "-j", "-4", "addr", "show"))
    return [{**link, "ifalias": network.alias_of(link["ifname"])} for link in links]


def _of_labs(labs: Path, but: str) -> Iterator[Taken]:
    for path in sorted(labs.glob("*/lab.json")):
        if path.parent.name != but and (number := read_json(path).get("number")):
            yield Taken(Addresses(number).subnet, f"lab {path.parent.name} ({path.parent})")


def _of_addresses(links: Iterable[Mapping[str, object]], ours: str | None) -> Iterator[Taken]:
    for link in links:
        infos = link.get("addr_info", [])
        if link["ifname"] == ours or not isinstance(infos, list):
            continue
        holder = f"link {link['ifname']}" + (f" ({link['ifalias']})" if link.get("ifalias") else "")
        for info in infos:
            if "local" in info:
                network = IPv4Network(f"{info['local']}/{info['prefixlen']}", strict=False)
                yield Taken(network, holder)


def _of_routes(routes: Iterable[Mapping[str, object]], ours: str | None) -> Iterator[Taken]:
    for route in routes:
        if route["dst"] != "default" and route.get("dev") != ours:
            yield Taken(IPv4Network(str(route["dst"]), strict=False), f"route {route['dst']}")
