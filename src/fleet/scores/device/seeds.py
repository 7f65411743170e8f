"""
What a machine is told at its first boot: NoCloud documents for cloud-init. Decides only.

The documents are JSON, which is YAML too. Commands are lists of arguments: no shell reads them. The
machine gets its SSH host key from us, so that it is pinned before anybody has spoken with it.

Two seeds are made here. `bare` gives a machine one login, and no more: for set-up over SSH.
`self_set` carries the agent's bundle and the device's configuration, and has the machine run the
same score on itself (`fleet.scores.device.local`); both end in the same device.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

from msgspec import structs

from fleet.scores.device import travelling
from fleet.scores.device.configuration import ADMIN, FleetDeviceSetupConfig
from fleet.scores.device.keys import HostKey
from fleet.scores.kvm.addresses import MacAddress

VOLUME = "cidata"  # by which cloud-init knows a seed
SETUP = "setup.json"
BUNDLE = "agent.tar.gz"
DONE = "fleet-setup: done"
FAILED = "fleet-setup: FAILED"
_SEED_AT = "/run/fleet-seed"
_RUN_FROM = "/run/fleet-setup"
_CONSOLE = "/dev/console"
_HOSTS = """\
127.0.0.1 localhost
127.0.1.1 {}
::1 localhost ip6-localhost ip6-loopback
"""


@dataclass(frozen=True, slots=True)
class Seed:
    """The documents of a NoCloud seed, and the *files* that travel beside them, by name."""

    user_data: str = field(repr=False)
    meta_data: str
    network_config: str = ""
    files: Mapping[str, bytes | Path] = field(default_factory=dict, repr=False)

    def contents(self) -> Mapping[str, bytes | Path]:
        """Return every file of the seed by its name."""
        documents: dict[str, bytes | Path] = {
            "user-data": self.user_data.encode(),
            "meta-data": self.meta_data.encode(),
        }
        if self.network_config:
            documents["network-config"] = self.network_config.encode()
        return {**documents, **self.files}


@dataclass(frozen=True, slots=True)
class Link:
    """The one network interface of a machine, known by its hardware address."""

    mac: MacAddress
    address: IPv4Interface
    gateway: IPv4Address | None = None
    nameservers: Sequence[IPv4Address] = ()


def meta_data(hostname: str, *, instance: str) -> str:
    """Name the machine. Another *instance* is another machine to cloud-init: it starts anew."""
    return _written({"instance-id": instance, "local-hostname": hostname})


def network_config(link: Link) -> str:
    """Give the machine its address. Nothing waits for it, and nobody is asked for one."""
    ethernet: dict[str, Any] = {
        "match": {"macaddress": str(link.mac)},
        "set-name": "eth0",
        "dhcp4": False,
        "dhcp6": False,
        "addresses": [str(link.address)],
        "optional": True,
    }
    if link.gateway is not None:
        # Not "default": the cloud-init of Debian 12 doesn't know that word, and gives up.
        ethernet["routes"] = [{"to": "0.0.0.0/0", "via": str(link.gateway)}]
    if link.nameservers:
        ethernet["nameservers"] = {"addresses": [str(each) for each in link.nameservers]}
    return _written({"version": 2, "ethernets": {"eth0": ethernet}})


def user_data(hostname: str, host_key: HostKey, **more: Any) -> str:
    """Tell cloud-init the machine's host key, how it finds itself, and what else there is."""
    return "#cloud-config\n" + _written(
        {
            "ssh_keys": {
                "ed25519_private": host_key.private,
                "ed25519_public": f"{host_key.public}\n",  # else its end is lost on the console
            },
            "disable_root": True,
            "ssh_pwauth": False,
            # Else `sudo` complains at each use that it can't resolve the machine's own name.
            "write_files": [{"path": "/etc/hosts", "content": _HOSTS.format(hostname)}],
            **more,
        }
    )


def bare(
    hostname: str, *, host_key: HostKey, keys: Sequence[str], link: Link | None, user: str = ADMIN
) -> Seed:
    """Make the seed of a machine with one user, who logs in by *keys* and may become root."""
    users = [
        {
            "name": user,
            "shell": "/bin/bash",
            "sudo": "ALL=(ALL) NOPASSWD:ALL",
            "lock_passwd": True,
            "ssh_authorized_keys": list(keys),
        }
    ]
    return _seed(hostname, user_data(hostname, host_key, users=users), link, {})


def self_set(config: FleetDeviceSetupConfig, *, host_key: HostKey, link: Link | None) -> Seed:
    """Make the seed of a machine that sets itself up as a device."""
    bundle = structs.replace(config.bundle, path=Path(_SEED_AT, BUNDLE))
    there = structs.replace(config, bundle=bundle)
    files: dict[str, bytes | Path] = {SETUP: travelling.encode(there), BUNDLE: config.bundle.path}
    hostname = str(config.device_id)
    programs = [list(command) for command in commands()]
    words = user_data(hostname, host_key, users=[], runcmd=programs)
    # A new bundle or setting is no new machine: what is set up changes over SSH from then on.
    return _seed(hostname, words, link, files)


def commands() -> tuple[tuple[str, ...], ...]:
    """Return the programs that a machine runs to set itself up: the score, out of the bundle."""
    return (
        ("mkdir", "-p", _SEED_AT, _RUN_FROM),
        ("mount", "-o", "ro", f"/dev/disk/by-label/{VOLUME}", _SEED_AT),
        ("tar", "-xzf", f"{_SEED_AT}/{BUNDLE}", "-C", _RUN_FROM),
        (
            "env", f"PYTHONPATH={_RUN_FROM}", "PYTHONDONTWRITEBYTECODE=1", "PYTHONSAFEPATH=1",
            "/usr/bin/python3", "-m", "fleet.scores.device.local",
            "--console", _CONSOLE, f"{_SEED_AT}/{SETUP}",
        ),
        ("umount", _SEED_AT),
        ("rm", "-rf", _RUN_FROM),
    )  # fmt: skip


def _seed(hostname: str, words: str, link: Link | None, files: Mapping[str, bytes | Path]) -> Seed:
    instance = f"{hostname}-{hashlib.sha256(words.encode()).hexdigest()[:12]}"
    network = network_config(link) if link is not None else ""
    return Seed(words, meta_data(hostname, instance=instance), network, files)


def _written(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"
