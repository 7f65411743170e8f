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
from fleet.contracts import checking, container_fields
from fleet.contracts.container_fields import (
    DeviceNode,
    ExtraHost,
    File,
    HostName,
    IpAddress,
    Logs,
    Path,
    Quantity,
    Tmpfs,
)
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
UserName = Annotated[str, Meta(min_length=1, max_length=128)]
Capability = Annotated[str, Meta(min_length=1, max_length=64)]
LabelKey = Annotated[str, Meta(min_length=1, max_length=317)]
LabelValue = Annotated[str, Meta(max_length=1024)]
SysctlName = Annotated[str, Meta(min_length=1, max_length=256)]
SysctlValue = Annotated[str, Meta(min_length=1, max_length=256, pattern=whole(r"^[^\n]+$"))]
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
    """
    One published port of a service.

    * host: Port number on the device, 1 to 65535.
    * container: Port number inside the container, 1 to 65535.
    * protocol: Transport protocol: tcp or udp. Default: tcp.
    * host_ip: IPv4 or IPv6 address of the device on which the port is published, at most 39
      characters. The device has to have it, otherwise the service fails (AddressUnavailable).
      Default: every address (as 0.0.0.0 and ::).
    """

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
    """
    Data that a service mounts: a volume that the runtime keeps, or a path of the device.

    * mount_path: Where the data appears in the container: an absolute path below /, without '.'
      and '..', at most 512 characters; unique within the service.
    * name: Name of a volume that the runtime keeps, at most 63 characters of a-z, 0-9 and '-'. The
      services of one deployment share it, and it is never deleted automatically. Set either name
      or hostPath.
    * host_path: Absolute path on the device, without '.' and '..', at most 512 characters. It has
      to exist, otherwise the service fails (HostPathMissing). Set either name or hostPath.
    * read_only: Whether the container may only read the data. Default: false.
    """

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
    """
    Upper limits of what a service may use. One that the device can't enforce fails the service.

    * memory: Most memory, swap included: a whole number with a unit of Ki, Mi, Gi, k, M or G, such
      as 128Mi. Default: no limit.
    * cpus: Most CPU time: a whole number of CPUs such as 2, or of thousandths such as 500m,
      10m at least. Default: no limit.
    * pids: Most processes and threads, 1 to 4194304. Default: that of the container runtime.
    """

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
    A command that the agent runs in the container to see whether the service is healthy.

    * command: The command and its arguments, run without a shell; exit status 0 means healthy. 1
      to 64 strings of at most 4096 characters.
    * interval: Time between two checks, in seconds, 1 to 86400. Default: 10.
    * timeout: Time after which a check has failed and is killed, in seconds, 1 to 86400. Default:
      5.
    * retries: Number of consecutive failures that make the service unhealthy, 1 to 100; it is
      restarted then, unless restartPolicy is Never. Default: 3.
    * start_period: Time after the start in which failures don't count, in seconds, 0 to 86400; at
      least one interval. Default: 0.
    """

    command: Annotated[tuple[Argument, ...], Meta(min_length=1, max_length=64)]
    interval: Seconds = 10
    timeout: Seconds = 5
    retries: Annotated[int, Meta(ge=1, le=100)] = 3
    start_period: Annotated[int, Meta(ge=0, le=86_400)] = 0


class Capabilities(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """
    Linux capabilities that differ from the runtime's default set.

    * add: Capabilities to add, without the prefix CAP_, such as NET_ADMIN, or ALL; at most 64.
      Default: none. One that the device can't give fails the service (CapabilityUnavailable).
    * drop: Capabilities to remove, without the prefix CAP_, or ALL; at most 64, none of which is
      also added. Default: none.
    """

    add: Annotated[tuple[Capability, ...], Meta(max_length=64)] = ()
    drop: Annotated[tuple[Capability, ...], Meta(max_length=64)] = ()

    def __post_init__(self) -> None:
        checking.capabilities(self.add, self.drop)


class Service(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """
    One container of a deployment.

    * name: Name of the service, unique within the deployment: at most 63 characters of a-z, 0-9
      and '-', beginning and ending with a letter or a digit. The container is named
      fleet.<deployment>.<service>.
    * image: Reference of the image, with a tag or a digest, such as registry.example.org/web:1.2;
      at most 512 characters, without whitespace or a scheme such as docker://.
    * pull_policy: When the image is pulled before a container is made: Always, IfNotPresent (only
      if the device doesn't have it), or Never (the device has to have it). Default: IfNotPresent.
    * command: Replaces the entry point of the image; not run in a shell. At most 64 strings of at
      most 4096 characters. Default: that of the image.
    * args: Replaces the arguments (CMD) of the image. At most 64 strings of at most 4096
      characters. Default: those of the image.
    * env: Environment variables by name, in addition to those of the image. At most 128; names of
      at most 256 characters, values of at most 4096. Default: none.
    * ports: Ports published on the device, with networkMode bridge only. At most 16; no two
      services of a deployment may publish the same one. Default: none.
    * network_mode: Network of the container: bridge (that of the deployment, whose services find
      each other there by name, with published ports), host (the device's), or none. Default:
      bridge.
    * restart_policy: When the agent starts the service again after it ended: Always, OnFailure
      (exit status other than 0), or Never. Repeated restarts are delayed more and more. Default:
      Always.
    * volumes: Volumes and paths of the device to mount, at most 16, each at another mountPath.
      Default: none.
    * resources: Upper limits of memory, CPU time and processes. Default: no limits.
    * healthcheck: A command that tells whether the service is healthy. Default: no check; one that
      comes with the image is ignored.
    * user: User, and optionally group, to run as: ids or names, such as 1000, 1000:1000 or
      www-data; at most 128 characters. Default: that of the image.
    * read_only_rootfs: Whether the root file system is read-only; /run, /tmp and /var/tmp then are
      in memory, and lost with the container, unless a volume is mounted there. Default: false.
    * capabilities: Linux capabilities to add and to remove. Default: those of the container
      runtime.
    * stop_timeout: Time between the request to stop and the kill of the container, in seconds, 0
      to 3600. Default: [podman] stop_timeout of the agent's configuration, 10 unless set.
    * labels: Labels of the container. At most 64; keys of at most 317 characters, none of
      nationtech.io; values of at most 1024 characters. Default: none.
    * hostname: Name of the host as the service sees it, at most 63 characters: letters, digits, '-'
      and '.'. Default: the container runtime's choice.
    * extra_hosts: Lines added to /etc/hosts, at most 64. Default: none.
    * dns: Addresses of name servers in place of the device's, at most 3; not in networkMode none.
      Default: those of the device.
    * sysctls: Kernel parameters of the container, at most 32: net.* (not in networkMode host),
      fs.mqueue.*, kernel.msg*, kernel.sem and kernel.shm*; values of at most 256 characters. One
      that the device refuses fails the service (SysctlUnavailable). Default: the kernel's.
    * devices: Device nodes that the service may use, at most 16. Default: none.
    * tmpfs: File systems in memory, at most 16, each at another path. Default: none.
    * shm_size: Size of /dev/shm: a whole number with a unit of Ki, Mi, Gi, k, M or G, such as 64Mi.
      Default: that of the container runtime.
    * files: Small text files to mount read-only, at most 16, each at another path. Default: none.
    * logs: How the service's output is kept. Default: as the agent's configuration says.
    """

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
    hostname: HostName | None = None
    extra_hosts: Annotated[tuple[ExtraHost, ...], Meta(max_length=64)] = ()
    dns: Annotated[tuple[IpAddress, ...], Meta(max_length=3)] = ()
    sysctls: Annotated[dict[SysctlName, SysctlValue], Meta(max_length=32)] = msgspec.field(
        default_factory=dict
    )
    devices: Annotated[tuple[DeviceNode, ...], Meta(max_length=16)] = ()
    tmpfs: Annotated[tuple[Tmpfs, ...], Meta(max_length=16)] = ()
    shm_size: Quantity | None = None
    files: Annotated[tuple[File, ...], Meta(max_length=16)] = ()
    logs: Logs = Logs()

    def __post_init__(self) -> None:
        checking.IMAGE.check("image", self.image)
        if self.user:
            checking.USER.check("user", self.user)
        if self.ports and self.network_mode is not NetworkMode.BRIDGE:
            raise ValueError(
                f"ports: published in networkMode bridge only, not {self.network_mode}"
            )
        for port in self.ports:
            if port.host_ip:
                checking.ip_address("hostIp", port.host_ip)
        for mine, other in itertools.combinations(self.ports, 2):
            if mine.collides(other):
                raise ValueError(f"ports: host port {mine.host}/{mine.protocol} is published twice")
        checking.unique("mountPath", (volume.mount_path for volume in self.volumes))
        checking.labels(self.labels)
        if self.shm_size:
            checking.MEMORY.check("shmSize", self.shm_size)
        container_fields.check_files(self.files)
        self._check_host()
        self._check_targets()

    def _check_host(self) -> None:
        """Check what the service sees of its host and its network."""
        if self.hostname:
            checking.HOST_NAME.check("hostname", self.hostname)
        checking.sysctls(self.sysctls, is_host_network=self.network_mode is NetworkMode.HOST)
        for address in self.dns:
            checking.ip_address("dns", address)
        if self.dns and self.network_mode is NetworkMode.NONE:
            raise ValueError("dns: there is no network to ask in networkMode none")

    def _check_targets(self) -> None:
        """Check that each thing has a place of its own in the container, and its effect."""
        mounts = [volume.mount_path for volume in self.volumes]
        container_fields.check_targets(mounts, self.tmpfs, self.files, self.devices)
        mounts += [each.path for each in self.tmpfs] + [file.path for file in self.files]
        # Left out without a word by podman, where the path is mounted.
        made: dict[str, tuple[object, str]] = {
            "extraHosts": (self.extra_hosts, "/etc/hosts"),
            "dns": (self.dns, "/etc/resolv.conf"),
            "shmSize": (self.shm_size, "/dev/shm"),  # noqa: S108 - in the container
        }
        for field, (given, path) in made.items():
            if given and path in mounts:
                raise ValueError(f"{field}: {path!r} is mounted, which leaves it without effect")


class PodmanV0(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """
    Services that run as podman containers.

    * services: The containers, 1 to 32, with unique names and host ports.
    """

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
    _check_devices(score)
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


def _check_devices(score: Score) -> None:
    for mine, other in itertools.combinations(score.services, 2):
        for node in mine.devices:
            if any(n.path == node.path and not (n.shared and node.shared) for n in other.devices):
                raise errors.InvalidDesiredState(
                    f"services {mine.name!r} and {other.name!r} want the same device {node.path}:"
                    " set shared: true in both, if it can be shared",
                    element=other.name,
                )
