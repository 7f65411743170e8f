"""
The lab's topology: this host, as far as one lab may use it.

Every score of the lab takes a `LabHost`. It holds where the lab keeps its files, its ledger, its
addresses and its ports; what is running is asked of the ledger, never remembered.
"""

import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from fleet import directories
from lab.host.ledger import Ledger
from lab.system import ports

LABS = "labs"
_SUPERNET = IPv4Network("10.213.0.0/16")
_FIRST_USER = 200_000_000  # above what distributions give to people, below 2^31 with 254 labs
_ports_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of one lab: *number* picks its /24, and so every name unique on this host."""

    number: int

    @property
    def subnet(self) -> IPv4Network:
        """Return the lab's /24."""
        return IPv4Network((int(_SUPERNET.network_address) + (self.number << 8), 24))

    @property
    def bridge(self) -> str:
        """Return the name of the bridge (at most 15 characters: the kernel's limit)."""
        return f"fl{self.number}"

    @property
    def gateway(self) -> str:
        """Return the bridge's own address, where the lab's servers listen."""
        return str(self.subnet.network_address + 1)

    @property
    def mac(self) -> str:
        """Return the bridge's hardware address, locally administered."""
        return f"02:00:0a:d5:{self.number:02x}:01"

    @property
    def table(self) -> str:
        """Return the name of the lab's nftables table."""
        return f"fleet_{self.number}"

    def device(self, index: int) -> IPv4Address:
        """Return the address of the device number *index*, from 1."""
        return self.subnet.network_address + 10 + index

    def user(self, index: int) -> int:
        """Return the user of device number *index*, if rootless: the first of 65,536 ids."""
        return _FIRST_USER + (self.number * 100 + index) * (1 << 16)

    def link(self, index: int) -> str:
        """Return the host's end of the cable of device number *index*."""
        return f"{self.bridge}d{index:02}"


def _silent(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class LabHost:
    """This host as one lab's topology. *saw* is told what a wait last saw."""

    name: str
    state: Path
    addresses: Addresses
    saw: Callable[[str], None] = field(default=_silent, compare=False)
    deadline: float = field(default=math.inf, compare=False)
    """by the monotonic clock: when the stage's budget is spent"""
    lane: str = field(default="", compare=False)
    """which of the stage's lanes this is, if any (`lab.lifecycle.stages`)"""

    @property
    def ledger(self) -> Ledger:
        """Return the journal of what is ours."""
        return Ledger(self.state / "ledger.jsonl", self.lane)

    @property
    def address(self) -> str:
        """Return the bridge's address: servers bind to it, devices and the host reach it."""
        return self.addresses.gateway

    def budget(self, within: float) -> float:
        """Return how long a wait of *within* seconds may take, given what is left for the stage."""
        return max(0.0, min(within, self.deadline - time.monotonic()))

    @property
    def logs(self) -> Path:
        """Return the directory of logs; it outlives the lab."""
        return self.state / "logs"

    def log(self, part: str) -> Path:
        """Return the log of one part."""
        return self.logs / f"{part}.log"

    def part(self, name: str) -> Path:
        """Return the directory where one part keeps its files (``$STATE/NAME``), made."""
        path = self.state / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def port(self, purpose: str, *, prefer: int = 0, address: str = "127.0.0.1") -> int:
        """
        Return the port of *purpose* at *address*: free when first asked for, the same ever after.

        It is the one to *prefer* where nothing listens there.
        """
        with _ports_lock:
            known = read_json(self.state / "ports.json")
            if purpose not in known:
                known = {**known, purpose: _free_port(set(known.values()), address, prefer)}
                write_json(self.state / "ports.json", known)
            return int(known[purpose])


def state_of(name: str, environ: Mapping[str, str] | None = None) -> Path:
    """Return the state directory of lab *name*; makes the directory above it only."""
    return labs_dir(environ) / name


def labs_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Return the directory of all labs."""
    above = directories.cache_dir(environ) if environ is not None else directories.cache_dir()
    path = above / LABS
    path.mkdir(exist_ok=True)
    return path


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in *path*, or an empty one when there is no such file."""
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return {}


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace *path* by *value*: readers see the old or the new, never a half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
    draft.replace(path)


def _free_port(taken: set[int], address: str, prefer: int) -> int:
    port = prefer if prefer and ports.is_free(address, prefer) else ports.free(address)
    while port in taken:
        port = ports.free(address)
    return port
