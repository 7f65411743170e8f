"""
What a lab consists of: read from ``lab/topologies/NAME.yaml``, or a YAML file given by its path.

A topology that makes no sense is refused as a whole, before anything is made.
"""

import enum
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec
import yaml

from fleet import errors
from fleet.contracts.names import DeviceId
from lab.errors import TopologyInvalid

DIRECTORY = Path(__file__).parent / "topologies"
MOST_DEVICES = 99  # two digits in the names of links


class Backend(enum.StrEnum):
    """What carries a device."""

    HOST = "host"


class Device(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One device; what carries it is *backend* (see `lab.devices`)."""

    id: str
    backend: Backend = Backend.HOST
    labels: dict[str, str] = {}


class Topology(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a lab consists of, besides the parts that every lab has."""

    description: str = ""
    devices: tuple[Device, ...] = ()

    def numbered(self) -> tuple[tuple[int, Device], ...]:
        """Return the devices with their numbers, from 1: a number decides address and link."""
        return tuple(enumerate(self.devices, start=1))


def load(name: str) -> Topology:
    """Return the topology called *name*, or the one in the file of that path."""
    path = DIRECTORY / f"{name}.yaml"
    if "/" in name or name.endswith((".yaml", ".yml")):
        path = Path(name)
    try:
        text = path.read_text()
    except OSError as exc:
        message = f"there is no topology {name!r} ({path}: {exc.strerror})"
        raise TopologyInvalid(
            message, element=name, hint=f"there are: {', '.join(known())}"
        ) from exc
    return parse(text, str(path))


def known() -> tuple[str, ...]:
    """Return the names of the topologies that come with the lab."""
    return tuple(sorted(path.stem for path in DIRECTORY.glob("*.yaml")))


def parse(text: str, where: str) -> Topology:
    """Return the topology in *text*; *where* is for the error."""
    try:
        found = msgspec.convert(yaml.safe_load(text) or {}, Topology)
    except (yaml.YAMLError, msgspec.ValidationError) as exc:
        raise TopologyInvalid(f"{where}: {exc}", element=where) from exc
    for problem in problems(found):
        raise TopologyInvalid(f"{where}: {problem}", element=where)
    return found


def problems(found: Topology) -> tuple[str, ...]:
    """Say what the types of a topology can't: names, and that they are unique."""
    counted: Mapping[str, int] = Counter(device.id for device in found.devices)
    return (
        *(
            f"device {name!r} is there {count} times"
            for name, count in counted.items()
            if count > 1
        ),
        *(reason for name in counted if (reason := _unnameable(name))),
        *([f"more than {MOST_DEVICES} devices"] if len(found.devices) > MOST_DEVICES else []),
    )


def _unnameable(name: str) -> str:
    try:
        DeviceId(name)
    except errors.InvalidName as exc:
        return str(exc)
    return ""
