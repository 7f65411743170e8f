"""
What a device is to be: everything that its set-up needs to know, as one frozen value.

It travels as JSON (`fleet.scores.device.travelling`), so that a machine can set itself up. What is
secret in it shows in no message and no log.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from fleet import errors
from fleet.contracts import hub, quantities
from fleet.contracts.names import DeviceId
from fleet.contracts.patterns import whole
from fleet.scores.device.bundle import Bundle

ADMIN = "fleet-admin"
HEARTBEAT_INTERVAL = 10  # the agent's own default
PASSWORD_VARIABLE = "FLEET_VM_ADMIN_PASSWORD"  # noqa: S105 - its name

_TIME_SERVER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]*", re.ASCII)
_PUBLIC_KEY = re.compile(r"(ssh|ecdsa|sk)-\S+ [A-Za-z0-9+/=]+( [^\r\n]*)?", re.ASCII)


class Secret(str):
    """A `str` that no message shows."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(…)" if self else "Secret('')"


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every part: frozen, and no key it doesn't know."""


class Hub(_Table, frozen=True):
    """
    The fleet's NATS, and who the device is there. *credentials* and *ca* are contents of files.

    *jitter* is the most seconds that a device waits with its catching up after a break,
    *heartbeat_interval* the seconds between two of its heartbeats.
    """

    url: str
    credentials: Secret = Secret("")
    ca: str = ""
    jitter: Annotated[int, Meta(ge=0, le=3600)] = 60
    heartbeat_interval: Annotated[int, Meta(ge=1, le=3600)] = HEARTBEAT_INTERVAL


class RegistryLogin(_Table, frozen=True):
    """Who the device is there. *insecure*: plain HTTP, or a certificate nobody vouches for."""

    username: str = ""
    password: Secret = Secret("")
    insecure: bool = False


class JournalLimits(_Table, frozen=True):
    """How much the journal may take: on the disk, and in memory where it is kept there."""

    disk: Annotated[str, Meta(pattern=whole("^[1-9][0-9]{0,8}[KMG]$"))] = "200M"
    memory: Annotated[str, Meta(pattern=whole("^[1-9][0-9]{0,8}[KMG]$"))] = "32M"


class FleetDeviceSetupConfig(_Table, frozen=True):
    """
    One device. *admin_keys* are the public SSH keys that log in as ``fleet-admin``.

    *ulimits* are those that podman gives containers: what a container may have where the device's
    user may have less than podman asks for. *packages*: whether missing ones are installed.
    *host_paths* may be mounted though they reach what is the agent's own.
    """

    device_id: DeviceId
    hub: Hub
    bundle: Bundle
    admin_keys: tuple[str, ...]
    admin_password: Secret = Secret("")
    labels: dict[str, str] = {}
    registries: dict[str, RegistryLogin] = {}
    ulimits: dict[str, Annotated[int, Meta(ge=1)]] = {}
    images_budget: Annotated[str, Meta(pattern=whole(quantities.MEMORY_PATTERN))] = "2Gi"
    host_paths: tuple[Annotated[str, Meta(pattern="^/")], ...] = ()
    time_servers: tuple[str, ...] = ()
    journal: JournalLimits = JournalLimits()
    packages: bool = True

    def __post_init__(self) -> None:
        """
        Check what would otherwise show on the device, or lock everybody out.

        :raises errors.InvalidConfig: with the part that is wrong, and how it should look.
        """
        hub.parse_servers(self.hub.url, where="hub.url")
        for server in self.time_servers:
            _check(_TIME_SERVER, server, "time_servers", "the name or address of a host")
        if not self.admin_keys:
            raise errors.InvalidConfig(
                f"admin_keys: none, so that nobody could log in as {ADMIN}", element="admin_keys"
            )
        for key in self.admin_keys:
            _check(_PUBLIC_KEY, key, "admin_keys", "the line of a public SSH key")
        _check_credentials(self.hub.credentials)


def admin_password(environ: Mapping[str, str] = os.environ) -> Secret:
    """Return the password that the environment has for ``fleet-admin``; else an empty one."""
    return Secret(environ.get(PASSWORD_VARIABLE, ""))


def credentials(path: Path) -> Secret:
    """
    Read the credentials of a device.

    :raises errors.InvalidConfig: they can't be read.
    """
    try:
        return Secret(path.read_text())
    except (OSError, UnicodeDecodeError) as exc:
        raise errors.InvalidConfig(f"{path}: no credentials: {exc}", element=str(path)) from exc


def is_creds(secret: str) -> bool:
    """Tell whether *secret* is a signed user (``.creds``), and not a name with a password."""
    return secret.lstrip().startswith("-----BEGIN NATS USER JWT-----")


def _check_credentials(secret: Secret) -> None:
    if not secret or is_creds(secret):
        return
    try:
        found = json.loads(secret)
        complete = bool(found["user"] and found["password"])
    except (ValueError, KeyError, TypeError):
        complete = False
    if not complete:  # nothing of it is said: it is secret
        raise errors.InvalidConfig(
            'hub.credentials: neither {"user": …, "password": …} nor the content of a .creds file',
            element="hub.credentials",
        )


def _check(form: re.Pattern[str], value: str, where: str, wanted: str) -> None:
    if not form.fullmatch(value):
        raise errors.InvalidConfig(f"{where}: {value!r} is not {wanted}", element=where)
