"""Pushes images to the lab's registry by its HTTP API; reads first what is there."""

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from fleet.scores.score import Score
from lab.errors import LabError
from lab.host.lab_host import LabHost
from lab.images.oci import Image, Index

_OK = 300
_MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class PushedScore(Score[LabHost]):
    """The registry at *registry* (host:port) has *images*, by ``repository:tag``."""

    registry: str
    images: Mapping[str, Image | Index]

    @property
    def name(self) -> str:
        return "demo images"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        del topology
        return tuple(
            f"{name} is missing or another"
            for name, image in self.images.items()
            if _digest_there(self.registry, *_split(name)) != image.digest
        )

    def bring_about(self, topology: LabHost) -> None:
        for name, image in self.images.items():
            topology.saw(f"pushing {name}")
            _push(self.registry, *_split(name), image)


def _split(name: str) -> tuple[str, str]:
    repository, _, tag = name.rpartition(":")
    return repository, tag


def _digest_there(registry: str, repository: str, tag: str) -> str | None:
    accept = {"Accept": _MANIFESTS}
    status, headers = _ask(registry, "HEAD", f"/v2/{repository}/manifests/{tag}", b"", accept)
    return headers.get("docker-content-digest") if status < _OK else None


def _push(registry: str, repository: str, tag: str, image: Image | Index) -> None:
    if isinstance(image, Index):
        for each in image.images:
            _push(registry, repository, each.digest, each)
    else:
        _push_blobs(registry, repository, image)
    kind = {"Content-Type": image.media_type}
    where = f"/v2/{repository}/manifests/{tag}"
    _must(_ask(registry, "PUT", where, image.manifest, kind)[0], f"PUT {where}")


def _push_blobs(registry: str, repository: str, image: Image) -> None:
    for name, blob in image.blobs().items():
        status, _ = _ask(registry, "HEAD", f"/v2/{repository}/blobs/{name}")
        if status >= _OK:
            _upload(registry, repository, name, blob)


def _upload(registry: str, repository: str, name: str, blob: bytes) -> None:
    where = f"/v2/{repository}/blobs/uploads/"
    status, headers = _ask(registry, "POST", where)
    _must(status, f"POST {where}")
    place = urlsplit(headers["location"])
    target = f"{place.path}?{place.query}&digest={name}"
    kind = {"Content-Type": "application/octet-stream"}
    _must(_ask(registry, "PUT", target, blob, kind)[0], f"PUT {place.path}")


def _ask(
    registry: str,
    verb: str,
    target: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Mapping[str, str]]:
    connection = http.client.HTTPConnection(registry, timeout=30)
    try:
        connection.request(verb, target, body, dict(headers or {}))
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as exc:
        raise LabError(
            f"the registry at {registry} did not answer: {exc}", element=registry
        ) from exc
    else:
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}
    finally:
        connection.close()


def _must(status: int, what: str) -> None:
    if status >= _OK:
        raise LabError(f"the registry answers {status} to {what}")
