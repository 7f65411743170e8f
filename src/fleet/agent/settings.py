"""
The agent's configuration file, checked completely before anything else happens.

    device_id = "dev-01"
    state_dir = "/var/lib/fleet-agent"
    [labels]
    site = "lab"
    [nats]
    url = "nats://10.213.0.1:4222"        # several: comma-separated
    credentials = "/etc/fleet-agent/credentials.json"
    ca = "/etc/fleet-agent/ca.pem"
    jitter = 60
    heartbeat_interval = 10
    [podman]
    socket = "unix:///run/podman/podman.sock"
    ulimits = {nofile = 1024, nproc = 1000}
    log_max_size = "30Mi"                 # of a container's log that is a file
    [host_paths]
    allow = ["/srv/backup"]               # though they reach what is the agent's own
    [registries."registry.local:5000"]    # a prefix of images: the longest that fits applies
    username = "fleet"
    password_file = "/etc/fleet-agent/registry.password"
    insecure = false
    [images]
    budget = "2Gi"
    [log]
    format = "json"
    level = "info"

Whatever is wrong raises `errors.InvalidConfig` with the file, the line and the
reason. An unknown key is an error: a misspelt one would otherwise be a setting
that silently isn't.
"""

import re
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from fleet import errors
from fleet.agent.system import password_files
from fleet.contracts import device_labels, hub, quantities
from fleet.contracts.names import DeviceId
from fleet.contracts.patterns import whole

CONFIG_VARIABLE = "FLEET_AGENT_CONFIG"
DEFAULT_CONFIG = Path("/etc/fleet-agent/config.toml")
DEFAULT_STATE_DIR = Path("/var/lib/fleet-agent")

_AT = re.compile(r"(?P<reason>.*?)(?: - at `(?:key in )?\$\.?(?P<path>[^`]*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `([^`]+)`")
_SOME = "*"  # a key that msgspec doesn't tell
_REGISTRY = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]+)?(/[a-z0-9._-]+)*")
_STEP = re.compile(r"\"[^\"]*\"|'[^']*'|[^.\s\"']+")
_HEADER = re.compile(r"\s*\[+([^\[\]][^\]]*)\]+\s*(#.*)?")
_KEY = re.compile(r"^\s*(\"[^\"]*\"|'[^']*'|[A-Za-z0-9_-]+)\s*[.=]")


class LogFormat(StrEnum):
    """How log lines look."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """From which severity on lines are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table: frozen, and no key it doesn't know."""


class Nats(_Table, frozen=True):
    """
    Where the hub is, and who we are there.

    *jitter* is the most seconds that a device waits with its catching up after a
    break, so that a fleet that comes back doesn't do so at one instant.
    *heartbeat_interval* is the seconds between two heartbeats: no more than a third of the
    operator's `--silence`, after which it calls the device stale.
    """

    url: str
    credentials: Path | None = None
    ca: Path | None = None
    jitter: Annotated[int, Meta(ge=0, le=3600)] = 60
    heartbeat_interval: Annotated[int, Meta(ge=1, le=3600)] = 10


class Podman(_Table, frozen=True):
    """
    How to reach podman. *timeout* and *stop_timeout* are in seconds.

    *log_max_size* bounds the log of a container made from now on; "" leaves it to podman.
    """

    socket: str = "unix:///run/podman/podman.sock"
    ulimits: dict[str, Annotated[int, Meta(ge=1)]] = {}
    timeout: Annotated[int, Meta(ge=1, le=600)] = 30
    stop_timeout: Annotated[int, Meta(ge=0, le=600)] = 10
    log_max_size: Annotated[str, Meta(pattern=whole(quantities.MEMORY_OR_NONE_PATTERN))] = "30Mi"


class HostPaths(_Table, frozen=True):
    """Paths that services may mount, with all in them, though they reach what is the agent's."""

    allow: tuple[Path, ...] = ()


class Registry(_Table, frozen=True):
    """Who we are at a registry. *insecure*: plain HTTP, or a certificate nobody vouches for."""

    username: str = ""
    password_file: Path | None = None
    insecure: bool = False


class Images(_Table, frozen=True):
    """How much space images may take that the agent brought and nothing uses any more."""

    budget: Annotated[str, Meta(pattern=whole(quantities.MEMORY_PATTERN))] = "2Gi"


class Log(_Table, frozen=True):
    """What is logged, and how."""

    format: LogFormat = LogFormat.JSON
    level: LogLevel = LogLevel.INFO


class Settings(_Table, frozen=True):
    """All of the file."""

    device_id: DeviceId
    nats: Nats
    state_dir: Path = DEFAULT_STATE_DIR
    labels: dict[str, str] = {}
    podman: Podman = Podman()
    host_paths: HostPaths = HostPaths()
    images: Images = Images()
    registries: dict[str, Registry] = {}
    log: Log = Log()


def load(path: Path) -> Settings:
    """
    Read and check the file at *path*.

    :raises errors.InvalidConfig: with file, line and reason.
    """
    text = _read(path)
    try:
        settings = msgspec.convert(_parse(path, text), Settings, dec_hook=_decode)
    except msgspec.ValidationError as exc:
        where, reason = _explain(str(exc))
        raise _invalid(path, text, where, reason) from exc
    for where, reason in _broken_rules(settings):
        raise _invalid(path, text, where, reason)
    return settings


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        raise errors.InvalidConfig(f"{path}: there is no such file", element=str(path)) from exc
    except UnicodeDecodeError as exc:
        raise errors.InvalidConfig(f"{path}: it is not UTF-8", element=str(path)) from exc
    except OSError as exc:
        raise errors.InvalidConfig(f"{path}: {exc.strerror}", element=str(path)) from exc


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        message = str(exc)
        line = re.search(r"line (\d+)", message)
        # "at end of document" carries no number: it is the last line.
        number = int(line[1]) if line else text.count("\n") + 1
        raise errors.InvalidConfig(f"{path}:{number}: {message}", element=str(path)) from exc


def _decode(type_: type, value: Any) -> Any:
    if not isinstance(value, str):
        raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
    return type_(value)


def _explain(message: str) -> tuple[tuple[str, ...], str]:
    """Take msgspec's message apart into the path of the setting, and what is wrong with it."""
    match = _AT.fullmatch(message)
    reason = match["reason"] if match else message
    # "labels[...]" is some value of the table: msgspec doesn't say which.
    place = (match["path"] or "").replace("[...]", f".{_SOME}") if match else ""
    path = tuple(place.split(".")) if place else ()
    unknown = _UNKNOWN.search(reason)
    if unknown:
        return (*path, unknown[1]), f"unknown key {unknown[1]!r}"
    path = path[:-1] if path[-1:] == (_SOME,) else path
    return path, reason.replace("Object missing required field", "missing key").replace("`", "'")


def _broken_rules(settings: Settings) -> list[tuple[tuple[str, ...], str]]:
    """List what the types alone don't say."""
    broken: list[tuple[tuple[str, ...], str]] = []
    broken += [(("labels", key), reason) for key, reason in _broken_labels(settings.labels)]
    if not settings.state_dir.is_absolute():
        broken.append((("state_dir",), f"{str(settings.state_dir)!r} is not an absolute path"))
    broken += [
        (("host_paths", "allow"), f"{str(path)!r} is not an absolute path")
        for path in settings.host_paths.allow
        if not path.is_absolute()
    ]
    try:
        hub.parse_servers(settings.nats.url)
    except errors.InvalidConfig as exc:
        broken.append((("nats", "url"), str(exc)))
    for name, registry in settings.registries.items():
        broken += [
            (("registries", name, *key), why) for key, why in _broken_registry(name, registry)
        ]
    if not settings.podman.socket.startswith(("unix://", "http+unix://")):
        socket = settings.podman.socket
        broken.append((("podman", "socket"), f"{socket!r} is not like unix:///path/to/podman.sock"))
    return broken


def _broken_registry(name: str, registry: Registry) -> list[tuple[tuple[str, ...], str]]:
    if not _REGISTRY.fullmatch(name):
        return [((), f"{name!r} is not like registry.local:5000 or registry.local/team")]
    if registry.password_file is None:
        return [(("username",), "needs a password_file")] if registry.username else []
    if not registry.username:
        return [(("password_file",), "needs a username")]
    try:
        password_files.read(registry.password_file)
    except errors.InvalidConfig as exc:
        return [(("password_file",), str(exc))]
    return []


def _broken_labels(labels: dict[str, str]) -> list[tuple[str, str]]:
    broken = []
    for key, value in labels.items():
        if not device_labels.is_key(key):
            broken.append((key, f"{key!r} is not a label key"))
        elif device_labels.is_reserved(key):
            domain = key.partition("/")[0]
            broken.append((key, f"label keys of {domain!r} are not the agent's to set"))
        elif not device_labels.VALUE.fits(value):
            broken.append((key, f"{value!r} is not a label value"))
    return broken


def _invalid(path: Path, text: str, where: tuple[str, ...], reason: str) -> errors.InvalidConfig:
    name = ".".join(where)
    place = f"{path}:{_line(text, where)}"
    said = reason if not name or "unknown key" in reason else f"{name}: {reason}"
    return errors.InvalidConfig(f"{place}: {said}", element=name or str(path))


def _line(text: str, where: tuple[str, ...]) -> int:
    """
    Find the line that a setting stands on: its own, else that of the closest table around it.

    tomllib tells no positions. This reads what people write (tables and
    ``key = value`` lines), and settles for the table where they are cleverer.
    """
    best, depth = 1, 0
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.fullmatch(line)
        key = _KEY.match(line)
        if header:
            table = tuple(part.strip("\"'") for part in _STEP.findall(header[1]))
            here = table
        elif key:
            here = (*table, key[1].strip("\"'"))
        else:
            continue
        if _leads(here, where) and len(here) > depth:
            best, depth = number, len(here)
    return best


def _leads(here: tuple[str, ...], where: tuple[str, ...]) -> bool:
    """Say whether *here* is *where*, or a table around it."""
    return len(here) <= len(where) and all(
        step in (mine, _SOME) for mine, step in zip(here, where, strict=False)
    )
