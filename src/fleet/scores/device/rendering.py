"""
The files of a device, as text. Decides only.

| File                                                  | Says                                     |
|-------------------------------------------------------|------------------------------------------|
| `/etc/fleet-agent/config.toml`                        | who the agent is, and where its hub is   |
| `/etc/systemd/system/fleet-agent.service`             | how it runs, and what it may not         |
| `/etc/systemd/system/fleet-agent.service.d/…`         | which user's podman it waits for         |
| `/usr/local/bin/fleet-agent`                          | which version runs                       |
| `/etc/ssh/sshd_config.d/…`                            | who may log in, and how                  |
| `/etc/systemd/{journald,timesyncd}.conf.d/…`          | how much is logged, and whose time it is |
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

from fleet.scores.device.bundle import CURRENT
from fleet.scores.device.configuration import HEARTBEAT_INTERVAL, FleetDeviceSetupConfig, is_creds

CONFIG_DIR = PurePosixPath("/etc/fleet-agent")
CONFIG = CONFIG_DIR / "config.toml"
CA = CONFIG_DIR / "ca.pem"
USER = "fleet-agent"
HOME = PurePosixPath("/var/lib/fleet-podman")
STATE_DIR = PurePosixPath("/var/lib/fleet-agent")
UNIT = "fleet-agent.service"
DIGEST_VARIABLE = "FLEET_SETUP"

_OURS = "# Written by Fleet's set-up: changes are lost.\n"
_LAUNCHER = f'''\
#!/usr/bin/python3 -I
"""Runs the agent that {CURRENT} leads to: this version to its end, also when the link moves."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.realpath("{CURRENT}"))

from fleet.agent.main import main

sys.exit(main())
'''


def launcher() -> str:
    """Return the program ``fleet-agent``."""
    return _LAUNCHER


def unit() -> str:
    """Return the agent's unit."""
    return resources.files(__package__).joinpath(UNIT).read_text(encoding="utf-8")


def unit_addition(uid: int, digest: str) -> str:
    """
    Return what the unit needs to know of this device: its user's manager runs podman's socket.

    *digest* is that of all that the agent reads at its start: by it a running one shows what it has
    read.
    """
    return (
        f"{_OURS}[Unit]\nWants=user@{uid}.service\nAfter=user@{uid}.service\n"
        f"[Service]\nEnvironment={DIGEST_VARIABLE}={digest}\n"
    )


def digest(config: FleetDeviceSetupConfig, uid: int) -> str:
    """Compute the digest of all that the agent reads at its start, and only then."""
    parts = (agent_config(config, uid), unit(), launcher(), config.bundle.version)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def socket(uid: int) -> str:
    """Return where the API of the user's podman listens."""
    return f"/run/user/{uid}/podman/podman.sock"


def credentials_path(config: FleetDeviceSetupConfig) -> PurePosixPath:
    """Return where the credentials lie; their form shows in the name."""
    suffix = "creds" if is_creds(config.hub.credentials) else "json"
    return CONFIG_DIR / f"credentials.{suffix}"


def password_path(registry: str) -> PurePosixPath:
    """Return where the password for *registry* lies. Its name may hold slashes."""
    digest = hashlib.sha256(registry.encode()).hexdigest()[:12]
    return CONFIG_DIR / f"registry-{digest}.password"


def agent_config(config: FleetDeviceSetupConfig, uid: int) -> str:
    """Return the agent's configuration. JSON's strings are TOML's too."""
    return _OURS + "\n".join((*_agent_config(config, uid), ""))


def _agent_config(config: FleetDeviceSetupConfig, uid: int) -> Iterator[str]:
    yield f"device_id = {_quoted(str(config.device_id))}"
    yield f"state_dir = {_quoted(str(STATE_DIR))}"
    yield from _table("labels", config.labels)
    hub: dict[str, Any] = {"url": config.hub.url, "jitter": config.hub.jitter}
    if config.hub.heartbeat_interval != HEARTBEAT_INTERVAL:  # an agent of before knows no such key
        hub["heartbeat_interval"] = config.hub.heartbeat_interval
    if config.hub.credentials:
        hub["credentials"] = str(credentials_path(config))
    if config.hub.ca:
        hub["ca"] = str(CA)
    yield from _table("nats", hub)
    yield from _table("podman", {"socket": f"unix://{socket(uid)}"})
    yield from _table("podman.ulimits", config.ulimits)
    if config.host_paths:  # an agent of before knows no such table
        yield from _table("host_paths", {"allow": config.host_paths})
    yield from _table("images", {"budget": config.images_budget})
    for name, login in sorted(config.registries.items()):
        who = {"username": login.username, "password_file": str(password_path(name))}
        yield from _table(
            f"registries.{_quoted(name)}",
            {"insecure": login.insecure, **(who if login.username else {})},
        )
    yield from _table("log", {"format": "json"})


def _table(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    if values:
        yield f"[{name}]"
    for key, value in sorted(values.items()):
        yield f"{_quoted(key)} = {_quoted(value)}"


def _quoted(value: Any) -> str:
    return json.dumps(value)


def sshd(config: FleetDeviceSetupConfig) -> str:
    """Say who may log in: nobody as root, and by password only where there is one."""
    passwords = "yes" if config.admin_password else "no"
    return (
        f"{_OURS}PermitRootLogin no\nPasswordAuthentication {passwords}\n"
        "KbdInteractiveAuthentication no\n"
    )


def journald(config: FleetDeviceSetupConfig) -> str:
    """Bound the journal: a device's disk is small, and nobody tidies up there."""
    limits = config.journal
    return f"{_OURS}[Journal]\nSystemMaxUse={limits.disk}\nRuntimeMaxUse={limits.memory}\n"


def timesyncd(config: FleetDeviceSetupConfig) -> str:
    """Name the servers that tell the time; without any, the distribution's own."""
    servers = f"NTP={' '.join(config.time_servers)}\n" if config.time_servers else ""
    return f"{_OURS}[Time]\n{servers}"


def podman_storage() -> str:
    """Have the user's podman use overlays: it would otherwise copy each layer (vfs)."""
    return f'{_OURS}[storage]\ndriver = "overlay"\n'
