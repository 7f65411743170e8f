"""
The lab's network: one bridge, a firewall around its address, and a cable to each device.

A device is two namespaces bound to files under ``$STATE/ns``: its network, and its mounts, where
``/run`` and ``/var/lib/containers`` are its own. What podman and netavark leave in those
(``/run/netns``, ``/run/runc``, overlay mounts) never shows on the host, and ends with the device.
No sysctl of the host is changed: a bridge within one host needs no forwarding.
"""

import hashlib
import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from fleet.scores.score import Score
from lab.errors import LabError
from lab.host import mounts, processes
from lab.host.lab_host import LabHost
from lab.host.ledger import Entry, Kind
from lab.host.processes import Inside
from lab.system import commands, procfs

_MARK = "fleet-lab:"
_CONTAINERS = Path("/var/lib/containers")

_Link: TypeAlias = dict[str, Any]  # what `ip -j` tells of a link


@dataclass(frozen=True)
class BridgeScore(Score[LabHost]):
    """The lab's bridge is up and has its address."""

    @property
    def name(self) -> str:
        return "bridge"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        link = _link(topology.addresses.bridge)
        if link is None:
            return (f"{topology.addresses.bridge} is missing",)
        found = {info.get("local") for info in link["addr_info"]}
        return (
            *(() if topology.address in found else (f"it lacks {topology.address}",)),
            *(() if "UP" in link["flags"] else ("it is down",)),
            *(() if link["address"] == topology.addresses.mac else ("it has another MAC",)),
        )

    def bring_about(self, topology: LabHost) -> None:
        make_bridge(topology)


@dataclass(frozen=True)
class FirewallScore(Score[LabHost]):
    """Only this host and the lab's bridge reach the bridge's address; nothing is routed through."""

    @property
    def name(self) -> str:
        return "firewall"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        table = topology.addresses.table
        listed = commands.ask("nft", "-s", "list", "table", "inet", table)
        entry = topology.ledger.find(Kind.FIREWALL, table)
        if not listed.ok or entry is None:
            return (f"table {table} is missing",)
        wanted = (_digest(listed.out), _digest(ruleset(topology)))
        found = (entry.facts.get("listed"), entry.facts.get("rules"))
        return () if found == wanted else (f"table {table} has other rules",)

    def bring_about(self, topology: LabHost) -> None:
        table = topology.addresses.table
        topology.ledger.intend(Kind.FIREWALL, table)
        rules = ruleset(topology)
        # Adding before deleting makes the deletion valid; nft applies the whole file or nothing.
        fresh = f"table inet {table}\ndelete table inet {table}\n{rules}"
        commands.run("nft", "-f", "-", stdin=fresh)
        listed = commands.run("nft", "-s", "list", "table", "inet", table)
        topology.ledger.note(Kind.FIREWALL, table, listed=_digest(listed), rules=_digest(rules))


def ruleset(topology: LabHost) -> str:
    """Return the lab's nftables rules."""
    where = topology.addresses
    return f"""\
table inet {where.table} {{
  chain input {{
    type filter hook input priority -10; policy accept;
    ip daddr {where.gateway} iifname != {{ "lo", "{where.bridge}" }} drop
  }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
    iifname "{where.bridge}" oifname != "{where.bridge}" drop
    oifname "{where.bridge}" iifname != "{where.bridge}" drop
  }}
}}
"""


@dataclass(frozen=True)
class PlacesScore(Score[LabHost]):
    """
    The places that the namespaces of all devices need are there.

    ``$STATE/ns`` is a private mount, since the kernel binds mount namespaces nowhere else;
    ``/var/lib/containers`` is the host's, and every device mounts its own over it.
    """

    @property
    def name(self) -> str:
        return "places of namespaces"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        above = _place(topology)
        entry = topology.ledger.find(Kind.MOUNT, str(above))
        if entry is None or not entry.facts.get("private") or not mounts.is_mounted(above):
            return (f"{above} is no mount of its own",)
        return () if _CONTAINERS.is_dir() else (f"{_CONTAINERS} is missing",)

    def bring_about(self, topology: LabHost) -> None:
        mounts.claim_directory(topology.ledger, _CONTAINERS)
        above = _place(topology)
        above.mkdir(parents=True, exist_ok=True)
        topology.ledger.intend(Kind.MOUNT, str(above))
        if not mounts.is_mounted(above):
            commands.run("mount", "--bind", str(above), str(above))
        commands.run("mount", "--make-private", str(above))
        topology.ledger.note(Kind.MOUNT, str(above), private=True)


@dataclass(frozen=True)
class NamespacesScore(Score[LabHost]):
    """
    *device* has its network and its mount namespace. Needs the `PlacesScore`.

    *script* goes on with its mounts, run once inside.
    """

    device: str
    script: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"namespaces {self.device}"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        entry = topology.ledger.find(Kind.NAMESPACE, self.device)
        if entry is None or not entry.facts.get("whole"):
            return ("they were never made whole",)
        if entry.facts.get("script", "") != self._digest():
            return ("they were made another way",)
        inside = namespaces(topology, self.device)
        missing = [kind for kind in inside.files if not mounts.is_namespace(kind)]
        return tuple(f"{path} is no namespace" for path in missing)

    def bring_about(self, topology: LabHost) -> None:
        if entry := topology.ledger.find(Kind.NAMESPACE, self.device):
            undo_namespaces(entry)
        inside = namespaces(topology, self.device)
        files = inside.files
        topology.ledger.intend(
            Kind.NAMESPACE, self.device, files=[str(path) for path in files], whole=False
        )
        for path in files:
            path.touch()
        script = "\n".join(("set -e", *_private_mounts(topology.state.parent), *self.script))
        commands.run(
            "unshare", f"--net={inside.net}", f"--mount={inside.mnt}", "--propagation", "private",
            "sh", "-c", script,
        )  # fmt: skip
        topology.ledger.note(Kind.NAMESPACE, self.device, whole=True, script=self._digest())

    def _digest(self) -> str:
        return _digest("\n".join(self.script)) if self.script else ""


@dataclass(frozen=True)
class CableScore(Score[LabHost]):
    """*device*, the lab's number *index*, is plugged in and has its address."""

    device: str
    index: int

    @property
    def name(self) -> str:
        return f"cable {self.device}"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        near = topology.addresses.link(self.index)
        link = _link(near)
        if link is None:
            return (f"{near} is missing",)
        if link.get("master") != topology.addresses.bridge:
            return (f"{near} is not on the bridge",)
        if "UP" not in link["flags"]:
            return (f"{near} is down: the device is unplugged",)
        return self._inside_differences(topology)

    def bring_about(self, topology: LabHost) -> None:
        near, inside = topology.addresses.link(self.index), namespaces(topology, self.device)
        if _link(near) is None or not self._far_end(inside):
            topology.ledger.intend(Kind.LINK, near, mark=_mark(topology))
            _delete_link(near, _mark(topology))
            commands.run(
                "ip", "link", "add", near, "type", "veth",
                "peer", "name", "eth0", "netns", str(inside.net),
            )  # fmt: skip
        # `alias` has a value of any words: not in a batch.
        commands.run("ip", "link", "set", near, "alias", _mark(topology))
        commands.run("ip", "link", "set", near, "master", topology.addresses.bridge, "up")
        lines = (
            "link set lo up",
            f"addr replace {topology.addresses.device(self.index)}/24 dev eth0",
            "link set eth0 up",
            f"route replace default via {topology.address}",
        )
        commands.run(*inside.enter(), "ip", "-batch", "-", stdin="\n".join(lines))

    def _inside_differences(self, topology: LabHost) -> tuple[str, ...]:
        inside = namespaces(topology, self.device)
        link = self._far_end(inside)
        if link is None:
            return ("its end in the device is missing",)
        wanted = str(topology.addresses.device(self.index))
        found = {info.get("local") for info in link["addr_info"]}
        return (
            *(() if wanted in found else (f"the device lacks its address {wanted}",)),
            *(() if "UP" in link["flags"] else ("its end in the device is down",)),
        )

    def _far_end(self, inside: Inside) -> _Link | None:
        answer = commands.ask(*inside.enter(), "ip", "-j", "addr", "show", "dev", "eth0")
        return json.loads(answer.out)[0] if answer.ok else None


def namespaces(topology: LabHost, device: str) -> Inside:
    """Return the namespaces of *device*."""
    above = _place(topology)
    return Inside(net=above / f"{device}.net", mnt=above / f"{device}.mnt")


def make_bridge(topology: LabHost) -> None:
    """Make the bridge, or complete a half-made one."""
    bridge = topology.addresses.bridge
    topology.ledger.intend(Kind.LINK, bridge, mark=_mark(topology))
    if _link(bridge) is None:
        commands.run("ip", "link", "add", bridge, "type", "bridge")
    # Without an address of its own a bridge takes that of a port, and changes it with its ports:
    # pulling one device's cable would cut off the others until their neighbour tables forget.
    commands.run("ip", "link", "set", bridge, "address", topology.addresses.mac)
    commands.run("ip", "link", "set", bridge, "alias", _mark(topology))
    commands.run("ip", "addr", "replace", f"{topology.address}/24", "dev", bridge)
    commands.run("ip", "link", "set", bridge, "up")


def set_plugged(topology: LabHost, index: int, *, plugged: bool) -> None:
    """Plug device number *index* in, or pull its cable."""
    near = topology.addresses.link(index)
    commands.run("ip", "link", "set", near, "up" if plugged else "down")


def is_plugged(topology: LabHost, index: int) -> bool:
    """Tell whether the cable of device number *index* is in."""
    link = _link(topology.addresses.link(index))
    return link is not None and "UP" in link["flags"]


def alias_of(link: str) -> str:
    """Return the alias of a link, by which a lab marks its own (`ip addr` doesn't show it)."""
    try:
        return Path("/sys/class/net", link, "ifalias").read_text().strip()
    except OSError:
        return ""


def undo_link(entry: Entry) -> None:
    """Remove a link, if it is still the one that we made."""
    _delete_link(entry.name, entry.facts["mark"])


def undo_firewall(entry: Entry) -> None:
    """Remove the lab's table."""
    answer = commands.ask("nft", "delete", "table", "inet", entry.name)
    if not answer.ok and "No such file" not in answer.err:
        raise LabError(f"nft would not delete table {entry.name}: {answer.err.strip()}")


def undo_namespaces(entry: Entry) -> None:
    """End what still runs in the namespaces, then let go of them."""
    for path in map(Path, entry.facts["files"]):
        for who in procfs.in_namespace(path) if mounts.is_namespace(path) else ():
            processes.end(who, f"pid {who.pid} in {path.name}", patience=2)
        mounts.unmount(path)
        path.unlink(missing_ok=True)


def _place(topology: LabHost) -> Path:
    """Return where namespaces are bound to files."""
    return topology.state / "ns"


def _private_mounts(labs: Path) -> tuple[str, ...]:
    """Return the commands that make a device's mounts its own, run once inside."""
    resolver = Path("/etc/resolv.conf").resolve()
    keep = str(resolver).startswith("/run/") and resolver.exists()
    kept = f"cat {resolver}" if keep else "true"
    back = f'mkdir -p {resolver.parent} && echo "$kept" > {resolver}' if keep else "true"
    return (
        # Copies of other namespaces' bindings would keep those alive after their lab is down. Which
        # there are is looked up in here: outside, labs come and go.
        "mounts=$(cat /proc/self/mountinfo)",
        f"labs={shlex.quote(mounts.escaped(labs))}",
        "printf '%s\\n' \"$mounts\" | while read -r _ _ _ _ at _; do",
        'case $at in "$labs"/*/ns) umount -R "$(printf %b "$at")" ;; esac',
        "done",
        f"kept=$({kept})",
        "mount -t tmpfs -o mode=755 tmpfs /run",
        "mkdir -p /run/lock /run/netns",
        "mount -t tmpfs -o mode=700 tmpfs /var/lib/containers",
        back,
    )


def _link(name: str) -> _Link | None:
    if not os.path.exists(f"/sys/class/net/{name}"):  # noqa: PTH110 - hot, a plain name
        return None
    answer = commands.ask("ip", "-j", "addr", "show", "dev", name)
    return json.loads(answer.out)[0] if answer.ok else None


def _delete_link(name: str, mark: str) -> None:
    link = _link(name)
    if link is None:
        return
    alias = alias_of(name)
    if alias not in {mark, ""}:  # without alias it is ours, half-made
        raise LabError(f"link {name} belongs to {alias}", element=name)
    commands.run("ip", "link", "delete", name)


def _mark(topology: LabHost) -> str:
    return f"{_MARK}{topology.state}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
