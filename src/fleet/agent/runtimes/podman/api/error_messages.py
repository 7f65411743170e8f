"""
What podman's complaints mean.

podman tells most failures apart by their text alone: a pull that failed says
so in a line of a stream that began with 200, and a taken name, a taken port
and a missing image are all a 500 on 4.3. Texts differ between versions, so
each row was seen on one; what no row knows is the general failure.
"""

import re
from collections.abc import Collection

from fleet import errors
from fleet.agent.runtimes.port import Container

_PULL: tuple[tuple[type[errors.FleetError], tuple[str, ...]], ...] = (
    (errors.DiskFull, ("no space left on device", "disk quota exceeded")),
    (
        errors.InvalidImage,
        (
            "invalid reference format",
            "repository name must be lowercase",
            "unqualified-search registries",
            "short-name",
            "invalid image name",
            "unsupported transport",
            "repository name must not be",
        ),
    ),
    (
        errors.RegistryUnauthorized,
        (
            "unauthorized",
            "authentication required",
            "access to the resource is denied",
            "invalid username/password",
            "403 (forbidden)",
        ),
    ),
    (
        errors.ImageNotFound,
        (
            "manifest unknown",
            "name unknown",
            "name invalid",
            "repository name not known",
            "not found",
            "no image found in manifest list",
            "no image found in image index",
            "404 (not found)",
        ),
    ),
)

# What a device can't give shows at creation or at start, depending on version and OCI runtime.
_UNABLE: tuple[tuple[type[errors.FleetError], tuple[str, ...]], ...] = (
    (errors.HostPathMissing, ("statfs ",)),
    (errors.CapabilityUnavailable, ("unknown capability", "is not a known capability")),
    (
        errors.LimitUnavailable,
        ("cgroup controller", "no cgroup mount found", "cgroups: cgroup mountpoint does not exist"),
    ),
    (
        errors.SysctlUnavailable,  # the words of podman, of runc and of crun
        (
            *("can't be set since", "open /proc/sys/", "write /proc/sys/", "open `/proc/sys/"),
            *("write to `/proc/sys/", "write to /proc/sys/", "the sysctl `"),
        ),
    ),
    (errors.PortForbidden, ("cannot expose privileged port", "failed to bind port")),
)

_CREATE: tuple[tuple[type[errors.FleetError], tuple[str, ...]], ...] = (
    *_UNABLE,
    (errors.NameTaken, ("name is already in use",)),
    (errors.ImageNotFound, ("image not known", "no such image")),
    (errors.InvalidImage, ("invalid reference format",)),
)

_NO_NETWORK = "network not found"

_START: tuple[tuple[type[errors.FleetError], tuple[str, ...]], ...] = (
    (errors.PortInUse, ("address already in use", "port is already allocated")),
    (errors.AddressUnavailable, ("cannot assign requested address", ": bind: invalid argument")),
    *_UNABLE,
)

# What a pull came to, and what to do about it.
_PULLED: dict[type[errors.FleetError], tuple[str, str]] = {
    errors.DiskFull: ("no space is left for {image}", "make room on the device"),
    errors.InvalidImage: ("{image} names no image", "write registry/name:tag"),
    errors.RegistryUnauthorized: (
        "{registry} refuses {image}",
        "check its user and password in the agent's configuration, and what they may read",
    ),
    errors.ImageNotFound: (
        "{registry} does not have {image}",
        "check its name and tag, and that it is there for this device's architecture",
    ),
    errors.ImagePullFailed: (
        "{image} did not come from {registry}",
        "check that the device reaches it",
    ),
}
_LOCAL = "localhost"

# Under root, names are answered at port 53 of each network's own address.
_NAME_SERVER = "aardvark-dns"
_PORT_OF_NAMES = re.compile(r":53: bind: address already in use", re.IGNORECASE)
_FREE_PORT_OF_NAMES = (
    "where podman answers the names of services there, move that: dns_bind_port = 1053 in [network]"
    " of the device's containers.conf, and start its containers anew"
)

_WITHOUT_TLS = "server gave http response to https client"

_ADVICE: dict[type[errors.FleetError], str] = {
    errors.HostPathUnavailable: "see to what is mounted there, such as a network share",
    errors.HostPathMissing: "create the directory on the device, or mount a named volume",
    errors.CapabilityUnavailable: "remove it from capabilities",
    errors.SysctlUnavailable: "correct or remove it in sysctls; without root, and on older kernels,"
    " some aren't a container's own",
    errors.LimitUnavailable: "enable (rootless: delegate) the cgroup controller on the device,"
    " or remove the limit",
    errors.AddressUnavailable: "write an address of the device as hostIp, or none",
    errors.PortForbidden: "choose a port of 1024 or more,"
    " or lower net.ipv4.ip_unprivileged_port_start on the device",
    errors.ImageNotFound: "it is brought again",
    errors.NameTaken: "remove or rename it",
    errors.ContainerInUse: "remove that container; until then ours runs on as it is",
    errors.DeviceInUse: "this one starts once that lets it go; what can be shared, such as a GPU,"
    " needs shared: true in both",
    errors.NetworkUnavailable: "see to podman's networks, such as default_subnet_pools in"
    " containers.conf",
    errors.PortInUse: "stop what listens there, or publish another port",
}


def of_pull(text: str, *, element: str) -> errors.FleetError:
    """Read why the pull of the image *element* failed: what, where, what to do, podman's words."""
    error = _match(_PULL, text, errors.ImagePullFailed)
    what, advice = _PULLED[error]
    if _WITHOUT_TLS in text.lower():
        advice = "set insecure = true for this registry in the agent's configuration"
    what = what.format(image=element, registry=_registry(element))
    return error(f"{what}: {advice}. Podman says: {text}", element=element)


def no_reference(image: str) -> errors.FleetError:
    """Say that *image* can't be one."""
    what, advice = _PULLED[errors.InvalidImage]
    return errors.InvalidImage(f"{what.format(image=image)}: {advice}", element=image)


def broken_off(image: str, why: str) -> errors.FleetError:
    """Say that the transfer of *image* ended before it was there."""
    return errors.ImagePullFailed(f"the transfer of {image} broke off: {why}", element=image)


def absent(image: str) -> errors.FleetError:
    """Say that an image isn't there, and that none may be brought."""
    advice = "load it, or choose another pullPolicy"
    why = "is not on the device, and pullPolicy Never brings none"
    return errors.ImageNotFound(f"{image} {why}: {advice}", element=image)


def _registry(image: str) -> str:
    """Name the registry of a reference; one without a registry is podman's to look for."""
    first, slash, _ = image.partition("/")
    is_host = slash and ("." in first or ":" in first or first == _LOCAL)
    return f"registry {first}" if is_host else "the registry that podman is configured with"


def of_create(text: str, *, element: str) -> errors.FleetError:
    """Read why a container was not made."""
    return _advised(_match(_CREATE, text, errors.ContainerFailed), text, element)


def of_start(text: str, *, element: str) -> errors.FleetError:
    """Read why a container did not start."""
    if _PORT_OF_NAMES.search(text):
        return errors.PortInUse(f"{text}; {_FREE_PORT_OF_NAMES}", element=element)
    return _advised(_match(_START, text, errors.ContainerFailed), text, element)


def taken(port: str, holder: str, *, element: str) -> errors.FleetError:
    """Say who has a port that a container wants."""
    if holder.endswith(f"({_NAME_SERVER})"):
        what = f"port {port} is taken by {holder}; {_FREE_PORT_OF_NAMES}"
        return errors.PortInUse(what, element=element)
    return _advised(errors.PortInUse, f"port {port} is taken by {holder}", element)


def device_taken(path: str, holder: Container, *, element: str) -> errors.FleetError:
    """Say who has a device node that a container wants."""
    who = f"service {holder.service} of deployment {holder.deployment}"
    return _advised(errors.DeviceInUse, f"device {path} is taken by {who}", element)


def in_use(container: str, dependents: Collection[str]) -> errors.FleetError:
    """Say what depends on a container that is to go."""
    what = f"{container} can't be removed: {', '.join(sorted(dependents))}, not Fleet's, depends"
    return _advised(errors.ContainerInUse, f"{what} on it, as --network container: does", container)


def name_taken(container: str, holder: str, device_id: str) -> errors.FleetError:
    """Say whose a container is that isn't ours: of the device *holder*, or of nobody we know."""
    if not holder:
        return _advised(errors.NameTaken, f"{container} is not a container of Fleet", container)
    what = (
        f"{container} is a container of device {holder}, and no journal here says that {device_id}"
        f' had that id before; to go on with it, set device_id = "{holder}" in the agent\'s'
        f" configuration; to have it made anew, type `podman rm --force {container}` on the device"
    )
    return errors.NameTaken(what, element=container)


def is_without_network(text: str) -> bool:
    """Tell whether a container was not made or started since its network is gone."""
    return _NO_NETWORK in text.lower()


def network_taken(network: str, holder: str) -> errors.FleetError:
    """Say whose a network is that isn't ours: of the device *holder*, or of nobody we know."""
    owner = f"of device {holder}" if holder else "not a network of Fleet"
    what = (
        f"network {network} is {owner}; to have ours made, remove it: `podman network rm {network}`"
    )
    return errors.NameTaken(what, element=network)


def no_network(network: str, text: str) -> errors.FleetError:
    """Say that podman can't make a network."""
    what = f"network {network} can't be made: {text}"
    return _advised(errors.NetworkUnavailable, what, network)


def unable(error: type[errors.FleetError], what: str, *, element: str) -> errors.FleetError:
    """Say what the runtime left out without a word."""
    return _advised(error, what, element)


def _advised(error: type[errors.FleetError], text: str, element: str) -> errors.FleetError:
    advice = _ADVICE.get(error)
    return error(f"{text}; {advice}" if advice else text, element=element)


def _match(
    table: tuple[tuple[type[errors.FleetError], tuple[str, ...]], ...],
    text: str,
    otherwise: type[errors.FleetError],
) -> type[errors.FleetError]:
    lowered = text.lower()
    for error, phrases in table:
        if any(phrase in lowered for phrase in phrases):
            return error
    return otherwise
