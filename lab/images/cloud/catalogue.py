"""
The images that machines can boot from: `catalogue.yaml`, and its JSON Schema beside it.

An image is *built* from the packages of its distribution, or a *download* of which the digest is
known before it is fetched.
"""

import enum
import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from fleet.scores.linux.architecture import Arch
from lab.errors import NothingThere, TopologyInvalid
from lab.system import yaml_documents
from lab.system.yaml_documents import Document, Problem

CATALOGUE = Path(__file__).parent / "catalogue.yaml"
SCHEMA = Path(__file__).parent / "catalogue.schema.json"

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Firmware(enum.StrEnum):
    """How a machine begins: with a kernel of ours, or with what is on its disk."""

    DIRECT = "direct"
    BIOS = "bios"
    UEFI = "uefi"


class Datasource(enum.StrEnum):
    """Where cloud-init finds what a machine is told."""

    NOCLOUD = "nocloud"


class Built(msgspec.Struct, frozen=True, tag_field="kind", tag="built", forbid_unknown_fields=True):
    """Made here, from the packages of the distribution."""


class Download(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="download",
    forbid_unknown_fields=True,
):  # fmt: skip
    """
    A qcow2 file at *url*.

    With *signature* (the address of a detached OpenPGP signature) goes *keyring*, a file of the
    keys that may have made it, beside the catalogue.
    """

    url: str
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    signature: str = ""
    keyring: str = ""


Source: TypeAlias = Built | Download


class Image(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One image. *size* is that of the disk, in MiB; *user* who cloud-init's own user is."""

    name: Annotated[str, Meta(pattern="^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$", max_length=63)]
    arch: Arch
    release: str
    size: Annotated[int, Meta(ge=512, le=1 << 20)]
    source: Source
    user: str = "debian"
    firmware: Firmware = Firmware.DIRECT
    datasource: Datasource = Datasource.NOCLOUD


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All images that there are."""

    images: tuple[Image, ...]


def find(name: str) -> Image:
    """
    Return the image called *name*.

    :raises NothingThere: there is none; says which there are.
    """
    for image in known():
        if image.name == name:
            return image
    names = ", ".join(image.name for image in known())
    raise NothingThere(f"there is no image {name!r}", element=name, hint=f"there are: {names}")


def default(arch: Arch) -> Image:
    """Return the image that a machine of *arch* boots from unless told: the first of that kind."""
    return next(image for image in known() if image.arch is arch)


@functools.cache
def known() -> tuple[Image, ...]:
    """Return all images of the catalogue."""
    return parse(CATALOGUE.read_text(), str(CATALOGUE)).images


def parse(text: str, where: str) -> Catalogue:
    """
    Return the catalogue in *text*; *where* is for the error.

    :raises TopologyInvalid: with a line for each thing that is wrong.
    """
    document = yaml_documents.read(text)
    found = yaml_documents.check(document, json.loads(SCHEMA.read_text())) or tuple(
        _unsigned(document)
    )
    if found:
        message = "\n".join(f"{where}:{problem}" for problem in found)
        raise TopologyInvalid(message, element=where, hint=f"what there can be: {SCHEMA}")
    return msgspec.convert(document.value, Catalogue)


def _unsigned(document: Document) -> Iterator[Problem]:
    """Find signatures that nobody can check, and keys for no signature."""
    for index, image in enumerate(document.value["images"]):
        source = image["source"]
        for one, other in (("signature", "keyring"), ("keyring", "signature")):
            if source.get(one) and not source.get(other):
                reason = f"a {one} goes with a {other}"
                yield document.problem(("images", index, "source", one), reason)


def schema() -> Mapping[str, Any]:
    """Describe a catalogue as JSON Schema: what `SCHEMA` publishes."""
    described = msgspec.json.schema(Catalogue)
    return {"$schema": _DIALECT, "title": "The cloud images of Fleet's lab", **described}
