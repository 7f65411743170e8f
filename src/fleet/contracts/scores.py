"""
The scores that a deployment can carry: what a device is asked to run.

A score travels as plain JSON, exactly as its author wrote it: no defaults are
added on the way, since one added later would change every revision and restart
a fleet. Decoding fills the defaults in, on the device. A field that this
version doesn't know is refused (`errors.UnsupportedScore`), never ignored.

*Canonical JSON* is what revisions and digests are taken over: keys sorted, no
whitespace, no nulls, integers, booleans and strings only, services sorted by
name, UTF-8.
"""

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from fleet import errors
from fleet.contracts.names import LABEL_MAX_LENGTH, LABEL_PATTERN

MAX_SERVICES = 32
MAX_PORT = 65535

Label = Annotated[str, Meta(min_length=1, max_length=LABEL_MAX_LENGTH, pattern=LABEL_PATTERN)]
ImageReference = Annotated[str, Meta(min_length=1, max_length=512, pattern=r"^[^\s]+$")]
Argument = Annotated[str, Meta(max_length=4096)]
EnvValue = Annotated[str, Meta(max_length=4096)]
EnvName = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]
PortNumber = Annotated[int, Meta(ge=1, le=MAX_PORT)]
IpAddress = Annotated[str, Meta(max_length=45, pattern=r"^[0-9a-fA-F:.]+$")]


class PullPolicy(StrEnum):
    """When the image is fetched."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class NetworkMode(StrEnum):
    """Which network a service lives in."""

    BRIDGE = "bridge"
    HOST = "host"
    NONE = "none"


class RestartPolicy(StrEnum):
    """When a service that ended is started again."""

    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


class Protocol(StrEnum):
    """The transport of a published port."""

    TCP = "tcp"
    UDP = "udp"


class Port(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One published port: *host* on the device leads to *container* inside."""

    host: PortNumber
    container: PortNumber
    protocol: Protocol = Protocol.TCP
    host_ip: IpAddress = ""


class Service(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """One container of a deployment. *command* replaces the entry point, *args* what follows it."""

    name: Label
    image: ImageReference
    pull_policy: PullPolicy = PullPolicy.IF_NOT_PRESENT
    command: Annotated[tuple[Argument, ...], Meta(max_length=64)] = ()
    args: Annotated[tuple[Argument, ...], Meta(max_length=64)] = ()
    env: Annotated[dict[EnvName, EnvValue], Meta(max_length=128)] = msgspec.field(
        default_factory=dict
    )
    ports: Annotated[tuple[Port, ...], Meta(max_length=16)] = ()
    network_mode: NetworkMode = NetworkMode.BRIDGE
    restart_policy: RestartPolicy = RestartPolicy.ALWAYS


class PodmanV0(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Services that run as podman containers."""

    services: Annotated[tuple[Service, ...], Meta(min_length=1, max_length=MAX_SERVICES)]


Score = PodmanV0
SCORE_TYPES: Mapping[str, type[Score]] = {"PodmanV0": PodmanV0}


def decode(type_: str, data: Mapping[str, Any]) -> Score:
    """
    Read a score, filling in defaults.

    :raises errors.UnsupportedScore: the type, or a field, isn't known here.
    :raises errors.InvalidDesiredState: a value breaks its rule.
    """
    if type_ not in SCORE_TYPES:
        known = ", ".join(sorted(SCORE_TYPES))
        raise errors.UnsupportedScore(
            f"score type {type_!r} is not known here; known: {known}", element=type_
        )
    try:
        score = msgspec.convert(dict(data), SCORE_TYPES[type_])
    except msgspec.ValidationError as exc:
        if "unknown field" in str(exc):
            raise errors.UnsupportedScore(f"{type_}: {exc}", element=type_) from exc
        raise errors.InvalidDesiredState(f"{type_}: {exc}", element=type_) from exc
    _check_names(score)
    return score


def canonical(value: Any) -> bytes:
    """
    Render *value* as canonical JSON.

    :raises errors.InvalidDesiredState: a float or another type that has no canonical form.
    """
    return json.dumps(
        _canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()


def revision(type_: str, data: Mapping[str, Any]) -> str:
    """Name the content of a score: SHA-256 in hex over its canonical type and data."""
    return _sha256(canonical({"type": type_, "data": _sorted_services(data)}))


def service_digests(data: Mapping[str, Any]) -> dict[str, str]:
    """
    Name the content of each service of *data*, by service.

    Taken over what was written rather than over what was decoded, so that an
    agent with new defaults does not restart containers that nobody changed.
    """
    return {service["name"]: _sha256(canonical(service)) for service in data["services"]}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sorted_services(data: Mapping[str, Any]) -> dict[str, Any]:
    services = data.get("services")
    if not isinstance(services, list | tuple):
        return dict(data)
    return {**data, "services": sorted(services, key=lambda service: str(service.get("name")))}


def _canonical(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case Mapping():
            return {str(k): _canonical(v) for k, v in value.items() if v is not None}
        case list() | tuple():
            return [_canonical(v) for v in value]
        case _:
            raise errors.InvalidDesiredState(
                f"{value!r} is not an integer, a boolean, a string, a list or a map"
            )


def _check_names(score: Score) -> None:
    names = [service.name for service in score.services]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise errors.InvalidDesiredState(f"two services are named {twice[0]!r}", element=twice[0])
