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
import itertools
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from fleet import errors
from fleet.contracts import checking
from fleet.contracts.names import LABEL_MAX_LENGTH, LABEL_PATTERN
from fleet.contracts.patterns import whole

MAX_SERVICES = 32
MAX_PORT = 65535
EVERY_ADDRESS = frozenset({"", "0.0.0.0", "::"})

Label = Annotated[
    str, Meta(min_length=1, max_length=LABEL_MAX_LENGTH, pattern=whole(LABEL_PATTERN))
]
ImageReference = Annotated[str, Meta(min_length=1, max_length=512, pattern=whole(r"^[^\s]+$"))]
Argument = Annotated[str, Meta(max_length=4096)]
EnvValue = Annotated[str, Meta(max_length=4096)]
EnvName = Annotated[
    str, Meta(min_length=1, max_length=256, pattern=whole("^[A-Za-z_][A-Za-z0-9_.-]*$"))
]
PortNumber = Annotated[int, Meta(ge=1, le=MAX_PORT)]
IpAddress = Annotated[str, Meta(max_length=39, pattern=whole("^[0-9a-fA-F:.]+$"))]
Path = Annotated[str, Meta(min_length=1, max_length=512)]
Quantity = Annotated[str, Meta(min_length=1, max_length=16)]
UserName = Annotated[str, Meta(min_length=1, max_length=128)]
Capability = Annotated[str, Meta(min_length=1, max_length=64)]
LabelKey = Annotated[str, Meta(min_length=1, max_length=317)]
LabelValue = Annotated[str, Meta(max_length=1024)]
Seconds = Annotated[int, Meta(ge=1, le=86_400)]


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

    def collides(self, other: "Port") -> bool:
        """Say whether both can't be had at once: one address, or one of them on every address."""
        addresses = {self.host_ip, other.host_ip}
        return (self.host, self.protocol) == (other.host, other.protocol) and (
            len(addresses) == 1 or not addresses.isdisjoint(EVERY_ADDRESS)
        )


class Volume(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Data at mountPath: kept by the runtime under a *name*, or a directory of the device."""

    mount_path: Path
    name: Label = ""
    host_path: Path = ""
    read_only: bool = False

    def __post_init__(self) -> None:
        if bool(self.name) == bool(self.host_path):
            raise ValueError(f"volume at {self.mount_path!r}: needs either name or hostPath")
        checking.MOUNT_PATH.check("mountPath", self.mount_path)
        if self.host_path:
            checking.HOST_PATH.check("hostPath", self.host_path)


class Resources(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """The most that a service may take: memory like 128Mi, cpus like 500m, pids processes."""

    memory: Quantity = ""
    cpus: Quantity = ""
    pids: Annotated[int, Meta(ge=1, le=4_194_304)] | None = None

    def __post_init__(self) -> None:
        if self.memory:
            checking.MEMORY.check("memory", self.memory)
        if self.cpus:
            checking.CPUS.check("cpus", self.cpus)


class Healthcheck(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """
    A command that exits with 0 while the service is well; times are whole seconds.

    It runs in the container, every *interval*. What takes longer than *timeout*
    failed; *retries* failures in a row make the service unhealthy, where those
    of the *start_period* don't count.
    """

    command: Annotated[tuple[Argument, ...], Meta(min_length=1, max_length=64)]
    interval: Seconds = 10
    timeout: Seconds = 5
    retries: Annotated[int, Meta(ge=1, le=100)] = 3
    start_period: Annotated[int, Meta(ge=0, le=86_400)] = 0


class Capabilities(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """What a service may do beyond, and not even of, the runtime's usual; without CAP_, or ALL."""

    add: Annotated[tuple[Capability, ...], Meta(max_length=64)] = ()
    drop: Annotated[tuple[Capability, ...], Meta(max_length=64)] = ()

    def __post_init__(self) -> None:
        checking.capabilities(self.add, self.drop)


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
    volumes: Annotated[tuple[Volume, ...], Meta(max_length=16)] = ()
    resources: Resources = Resources()
    healthcheck: Healthcheck | None = None
    user: UserName = ""
    read_only_rootfs: bool = False
    capabilities: Capabilities = Capabilities()
    stop_timeout: Annotated[int, Meta(ge=0, le=3600)] | None = None
    labels: Annotated[dict[LabelKey, LabelValue], Meta(max_length=64)] = msgspec.field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        if self.user:
            checking.USER.check("user", self.user)
        if self.ports and self.network_mode is not NetworkMode.BRIDGE:
            raise ValueError(
                f"ports: published in networkMode bridge only, not {self.network_mode}"
            )
        for mine, other in itertools.combinations(self.ports, 2):
            if mine.collides(other):
                raise ValueError(f"ports: host port {mine.host}/{mine.protocol} is published twice")
        checking.unique("mountPath", (volume.mount_path for volume in self.volumes))
        checking.labels(self.labels)


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
    _check_ports(score)
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


def _check_ports(score: Score) -> None:
    for mine, other in itertools.combinations(score.services, 2):
        for port in mine.ports:
            if any(port.collides(taken) for taken in other.ports):
                raise errors.InvalidDesiredState(
                    f"services {mine.name!r} and {other.name!r} want the same host port:"
                    f" {port.host}/{port.protocol}",
                    element=other.name,
                )
