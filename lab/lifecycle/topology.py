"""
What a lab consists of: read from ``lab/topologies/NAME.yaml``, or a YAML file given by its path.

A topology that makes no sense is refused as a whole, before anything is made, with every line
that is wrong. The JSON Schema is published beside the topologies that come with the lab.
"""

import enum
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from fleet.contracts import names
from fleet.scores.linux.architecture import Arch
from lab.errors import TopologyInvalid
from lab.images.cloud import catalogue
from lab.system import yaml_documents
from lab.system.yaml_documents import Document, Problem

DIRECTORY = Path(__file__).parents[1] / "topologies"
SCHEMA = DIRECTORY / "topology.schema.json"
SILENCE = 30  # the operator's own default
MOST_DEVICES = 99  # two digits in the names of links


_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ID = "1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or a digit"
_DEVICES = f"a list of 1 to {MOST_DEVICES} devices, such as [{{id: dev-01}}]"
_SILENCE = "the seconds without a heartbeat after which a device is stale; it sends three in them"
_LABEL_VALUE = "at most 63 of A-Z, a-z, 0-9, '-', '_' and '.', beginning and ending alphanumeric"
Id = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=names.LABEL_MAX_LENGTH,
        pattern=names.LABEL_PATTERN,
        description=_ID,
    ),
]
LabelKey = Annotated[
    str,
    Meta(
        pattern=r"^(?!([^/]*\.)?(nationtech|kubernetes)\.io/)([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?"
        r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
        description="a label key, not of nationtech.io or kubernetes.io: these aren't a device's",
    ),
]
LabelValue = Annotated[
    str,
    Meta(
        max_length=63,
        pattern="^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
        description=_LABEL_VALUE,
    ),
]


class Backend(enum.StrEnum):
    """What carries a device."""

    HOST = "host"
    VM = "vm"


# What a device of each back-end can't be told.
_OF_ONE_BACKEND: Mapping[Backend, tuple[str, ...]] = {
    Backend.HOST: ("arch", "image", "memory"),
    Backend.VM: ("rootless",),
}


class Device(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    One device; what carries it is *backend* (see `lab.devices`).

    On a *rootless* one, podman and the agent run as an unprivileged user; a machine always is.
    *arch*, *image* (of the catalogue of cloud images) and *memory* (MiB) are a machine's alone.
    """

    id: Id
    backend: Backend = Backend.HOST
    labels: dict[LabelKey, LabelValue] = {}
    rootless: bool = False
    arch: Arch | None = None
    image: str | None = None
    memory: Annotated[int, Meta(ge=384, le=65536)] | None = None

    @property
    def machine_arch(self) -> Arch:
        """Return the architecture of a machine."""
        return self.arch or Arch.X86_64

    @property
    def machine_image(self) -> str:
        """Return the name of a machine's image."""
        return self.image or catalogue.default(self.machine_arch).name

    @property
    def place(self) -> str:
        """Say what of the device stays as it is for as long as the lab stands."""
        if self.backend is Backend.VM:
            return f"{self.id} (vm {self.machine_arch})"
        return f"{self.id}{' (rootless)' * self.rootless}"


class Topology(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a lab consists of, besides the parts that every lab has."""

    description: str = ""
    silence: Annotated[int, Meta(ge=3, le=3600, description=_SILENCE)] = SILENCE
    devices: Annotated[
        tuple[Device, ...], Meta(min_length=1, max_length=MOST_DEVICES, description=_DEVICES)
    ]

    @property
    def heartbeat_interval(self) -> int:
        """Return the seconds between two heartbeats of a device: three make a silence."""
        return self.silence // 3

    def numbered(self) -> tuple[tuple[int, Device], ...]:
        """Return the devices with their numbers, from 1: a number decides address and link."""
        return tuple(enumerate(self.devices, start=1))

    def places(self) -> tuple[str, ...]:
        """Return what of each device stays as it is for as long as the lab stands, in words."""
        return tuple(each.place for each in self.devices)

    def of(self, backend: Backend) -> tuple[Device, ...]:
        """Return the devices that *backend* carries."""
        return tuple(each for each in self.devices if each.backend is backend)


def load(name: str) -> Topology:
    """Return the topology called *name*, or the one in the file of that path."""
    path = DIRECTORY / f"{name}.yaml"
    if "/" in name or name.endswith((".yaml", ".yml")):
        path = Path(name)
    try:
        text = path.read_text()
    except UnicodeDecodeError as exc:
        raise TopologyInvalid(f"{path}: it is not UTF-8", element=name) from exc
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
    """
    Return the topology in *text*; *where* is for the error.

    :raises TopologyInvalid: with a line for each thing that is wrong.
    """
    document = yaml_documents.read(text)
    found = yaml_documents.check(document, json.loads(SCHEMA.read_text())) or (
        *_repetitions(document),
        *_misplaced(document),
    )
    if found:
        message = "\n".join(f"{where}:{problem}" for problem in found)
        raise TopologyInvalid(message, element=where, hint=f"what there can be: {SCHEMA}")
    return msgspec.convert(document.value, Topology)


def schema() -> Mapping[str, Any]:
    """Describe a topology as JSON Schema: what `SCHEMA` publishes."""
    described = msgspec.json.schema(Topology)
    return {"$schema": _DIALECT, "title": "A topology of Fleet's lab", **described}


def _repetitions(document: Document) -> Iterator[Problem]:
    """Find devices of one name, which a schema can't."""
    first: dict[str, int] = {}
    for index, device in enumerate(document.value.get("devices", ())):
        path = ("devices", index, "id")
        if device["id"] in first:
            reason = f"{device['id']!r} is the device of line {first[device['id']]} already"
            yield document.problem(path, reason)
        first.setdefault(device["id"], document.line(path))


def _misplaced(document: Document) -> Iterator[Problem]:
    """Find what one back-end has and another hasn't, and images that there aren't."""
    for index, device in enumerate(document.value.get("devices", ())):
        backend = Backend(device.get("backend", Backend.HOST))
        for field in _OF_ONE_BACKEND[backend]:
            if field in device:
                reason = f"a device of backend {backend} has none"
                yield document.problem(("devices", index, field), reason)
        if backend is Backend.VM and (reason := _image_trouble(device)):
            yield document.problem(("devices", index, "image"), reason)


def _image_trouble(device: Mapping[str, Any]) -> str:
    if "image" not in device:
        return ""
    arch = Arch(device.get("arch", Arch.X86_64))
    known = {image.name: image.arch for image in catalogue.known()}
    if device["image"] not in known:
        return f"there is no image {device['image']!r}; there are {', '.join(sorted(known))}"
    if known[device["image"]] is not arch:
        return f"{device['image']} is of {known[device['image']]}, the device of {arch}"
    return ""
