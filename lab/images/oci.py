"""
Makes OCI images from files in memory. Decides only: the same input gives the same digest.

Timestamps and owners are zero, names sorted, compression without a date: an image's digest is known
before it is pushed.
"""

import gzip
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


@dataclass(frozen=True, slots=True)
class File:
    """A file of a layer, or with *link* a symbolic link."""

    content: bytes = b""
    mode: int = 0o644
    link: str = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: its compressed bytes, and the digest of the tar within."""

    blob: bytes = field(repr=False)
    diff_id: str

    @classmethod
    def of(cls, files: Mapping[str, File]) -> "Layer":
        """Pack *files*, by path without a leading slash."""
        tar = _tar(files)
        # The lowest level: it is done anew by every command of the lab, and never leaves the host.
        return cls(gzip.compress(tar, 1, mtime=0), digest(tar))


@dataclass(frozen=True, slots=True)
class Image:
    """A complete image. The first process of a container ignores SIGTERM unless it handles it."""

    layers: tuple[Layer, ...]
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    stop_signal: str = "SIGTERM"
    machine: str = field(default_factory=platform.machine)
    """what its programs are made for, as the kernel calls it"""

    @property
    def config(self) -> bytes:
        """Return the image's configuration blob."""
        return _json(
            {
                "architecture": architecture(self.machine),
                "os": "linux",
                "config": {
                    "Cmd": list(self.command),
                    "Env": [f"{key}={value}" for key, value in sorted(self.env.items())],
                    "ExposedPorts": {f"{port}/tcp": {} for port in self.ports},
                    "StopSignal": self.stop_signal,
                },
                "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in self.layers]},
            }
        )

    @property
    def manifest(self) -> bytes:
        """Return the image's manifest; its digest is the image's."""
        return _json(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": _descriptor(_CONFIG, self.config),
                "layers": [_descriptor(_LAYER, layer.blob) for layer in self.layers],
            }
        )

    @property
    def digest(self) -> str:
        """Return what the image is pulled by."""
        return digest(self.manifest)

    @property
    def media_type(self) -> str:
        """Return the media type of the manifest."""
        return _MANIFEST

    def blobs(self) -> Mapping[str, bytes]:
        """Return every blob but the manifest, by digest."""
        whole = (self.config, *(layer.blob for layer in self.layers))
        return {digest(blob): blob for blob in whole}


@dataclass(frozen=True, slots=True)
class Index:
    """One image for several architectures: who pulls it gets its own."""

    images: tuple[Image, ...]

    @property
    def manifest(self) -> bytes:
        """Return the index; its digest is the image's."""
        listed = [
            {
                **_descriptor(_MANIFEST, image.manifest),
                "platform": {"architecture": architecture(image.machine), "os": "linux"},
            }
            for image in self.images
        ]
        return _json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": listed})

    @property
    def digest(self) -> str:
        """Return what the image is pulled by."""
        return digest(self.manifest)

    @property
    def media_type(self) -> str:
        """Return the media type of the manifest."""
        return _INDEX


def layout(images: Mapping[str, Image]) -> Mapping[str, bytes]:
    """Return the files of an OCI layout that holds *images* by reference name."""
    blobs: dict[str, bytes] = {}
    entries = []
    for name, image in images.items():
        blobs |= {**image.blobs(), image.digest: image.manifest}
        about = {"org.opencontainers.image.ref.name": name}
        entries.append({**_descriptor(_MANIFEST, image.manifest), "annotations": about})
    return {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "manifests": entries}),
        **{f"blobs/{name.replace(':', '/')}": blob for name, blob in blobs.items()},
    }


def archive(images: Mapping[str, Image]) -> bytes:
    """Return *images* as an archive of an OCI layout, as `podman load` takes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in layout(images).items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def digest(data: bytes) -> str:
    """Return the digest of *data* as registries write it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def architecture(machine: str) -> str:
    """Return the name that images use for what the kernel calls *machine*."""
    return _ARCHITECTURES.get(machine, machine)


def _tar(files: Mapping[str, File]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in _directories(files):
            tar.addfile(_member(name, File(mode=0o755), tarfile.DIRTYPE))
        for name, file in sorted(files.items()):
            kind = tarfile.SYMTYPE if file.link else tarfile.REGTYPE
            tar.addfile(_member(name, file, kind), io.BytesIO(file.content))
    return buffer.getvalue()


def _directories(files: Mapping[str, File]) -> tuple[str, ...]:
    found = set()
    for name in files:
        parts = name.split("/")[:-1]
        found |= {"/".join(parts[: end + 1]) for end in range(len(parts))}
    return tuple(sorted(found))


def _member(name: str, file: File, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.linkname = kind, file.mode, file.link
    member.size = len(file.content) if kind == tarfile.REGTYPE else 0
    if name == "tmp":
        member.mode = 0o1777
    return member


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)}


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
