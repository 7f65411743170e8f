"""
What a lab could leave behind on its host, as lines that can be compared.

A snapshot is taken of the whole host, not of what the lab says is its own: equality is the claim.
Two things need more care. Processes come and go on any host, so those count that anything ties to
the lab. A sysctl that only appeared is a kernel module's or a link's: there are sections for those.
Podman's parent cgroups are every lab's and every test's: empty ones may go, none may be left.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

VOLATILE_SYSCTLS = re.compile(
    r"^(kernel\.random\.|kernel\.ns_last_pid|kernel\.pty\.nr|kernel\.perf_event_max_sample_rate"
    r"|fs\.(dentry-state|inode-nr|inode-state|file-nr|aio-nr|quota\.|mount-)"
    r"|net\.netfilter\.nf_conntrack_count|net\.ipv4\.(tcp_fastopen_key|route\.)|net\.ipv6\.route\.)"
)
TREES = (
    "/etc",
    "/run/containers",
    "/run/crun",
    "/run/libpod",
    "/run/netavark",
    "/run/netns",
    "/run/podman",
    "/run/runc",
    "/var/lib/cni",
    "~/.config/containers",
    "~/.docker",
    "~/.local/share/containers",
)
SHARED_CGROUPS = re.compile(r"/libpod_parent(/conmon)?$")
FILES = ("~/.kube/config",)  # its neighbour, the cache, is kubectl's, whoever types it
LISTINGS = ("/", "/run", "/dev/shm", "/var/lib", "/var/tmp", "/var/lib/containers")  # noqa: S108 - read only
LEFT_IN_TMP = ("podman-run-", "storage-run-", "containers-user-", "libpod", "buildah", "fleet-lab")

Lines = frozenset[str]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the host, by section."""

    sections: Mapping[str, Lines]

    def differences(self, later: "Snapshot") -> list[str]:
        """List what *later* has more (+) and less (-), each with its section."""
        return [
            f"{sign} {section}: {line}"
            for section, before in self.sections.items()
            for sign, lines in (
                ("+", later.sections[section] - before),
                ("-", before - later.sections[section]),
            )
            for line in sorted(lines)
            if not (sign == "+" and section == "sysctls" and not _known(line, before))
            and not (sign == "-" and section == "cgroups" and SHARED_CGROUPS.search(line))
        ]


def snapshot() -> Snapshot:
    """Look at the host."""
    return Snapshot(
        {
            "mounts": _numbered(_mounts()),
            "links": frozenset(_links()),
            "addresses": frozenset(_addresses()),
            "routes": frozenset(_routes()),
            "nft": _numbered(_answer("nft", "--stateless", "list", "ruleset")),
            "iptables": _numbered(_iptables("iptables-save")),
            "ip6tables": _numbered(_iptables("ip6tables-save")),
            "sysctls": frozenset(_sysctls()),
            "cgroups": frozenset(_cgroups()),
            "files": frozenset(_files()),
        }
    )


def processes_of(state: Path) -> list[str]:
    """List the processes that anything ties to the lab whose directory is *state*."""
    word = os.fsencode(state) + b"/"
    return sorted(_command(entry) for entry in _others() if word in _ties(entry))


def files_of(state: Path, logs: Path) -> list[str]:
    """List what the lab keeps on disk besides its logs."""
    return sorted(
        str(path) for path in state.rglob("*") if path != logs and logs not in path.parents
    )


def _known(line: str, before: Lines) -> bool:
    name = line.partition(" = ")[0] + " = "
    return any(each.startswith(name) for each in before)


def _numbered(lines: Iterable[str]) -> Lines:
    """Tell equal lines apart, so that a second one of the same is a difference."""
    seen: dict[str, int] = {}
    for line in lines:
        seen[line] = seen.get(line, 0) + 1
    return frozenset(f"{line} #{n}" for line, count in seen.items() for n in range(1, count + 1))


def _answer(*argv: str) -> list[str]:
    if shutil.which(argv[0]) is None:
        return []
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.splitlines()


def _json(*argv: str) -> list[dict[str, Any]]:
    return list(json.loads("\n".join(_answer(*argv)) or "[]"))


def _mounts() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        _id, _parent, _device, root, target, options, *_ = left.split()
        yield f"{target} {root} {options} {right}"


def _links() -> Iterator[str]:
    for link in _json("ip", "-json", "link"):
        facts = {key: link.get(key) for key in ("mtu", "address", "master", "link_type")}
        yield f"{link['ifname']} {','.join(sorted(link['flags']))} {facts}"


def _addresses() -> Iterator[str]:
    for link in _json("ip", "-json", "address"):
        for each in link["addr_info"]:
            if each:
                yield f"{link['ifname']} {each['local']}/{each['prefixlen']}"


def _routes() -> Iterator[str]:
    for family in ("-4", "-6"):
        for route in _json("ip", "-json", family, "route", "show", "table", "all"):
            wanted = ("type", "dst", "gateway", "dev", "table")
            yield f"{family} { {key: route.get(key) for key in wanted} }"


def _iptables(program: str) -> Iterator[str]:
    for line in _answer(program):
        if not line.startswith("#"):
            yield re.sub(r"\[\d+:\d+\]", "", line)


def _sysctls() -> Iterator[str]:
    for line in _answer("sysctl", "--all", "--ignore"):
        if not VOLATILE_SYSCTLS.match(line):
            yield line


def _cgroups() -> Iterator[str]:
    """List what podman makes; the host's other cgroups come and go as their owners like."""
    for directory, _, _ in os.walk("/sys/fs/cgroup"):
        if "libpod" in directory:
            yield directory


def _files() -> Iterator[str]:
    for tree in TREES:
        yield from _tree(Path(tree).expanduser())
    yield from (_file(path) for name in FILES if (path := Path(name).expanduser()).exists())
    for listing in LISTINGS:
        yield from (str(path) for path in _entries(Path(listing)))
    for path in _entries(Path("/tmp")):  # noqa: S108 - read only
        if path.name.startswith(LEFT_IN_TMP):
            yield str(path)


def _tree(root: Path) -> Iterator[str]:
    for directory, _, names in os.walk(root):
        yield directory
        yield from (_file(Path(directory, name)) for name in names)


def _file(path: Path) -> str:
    try:
        found = path.lstat()
    except FileNotFoundError:  # gone since it was listed
        return f"{path} gone"
    return f"{path} {found.st_size} {found.st_mtime_ns}"


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _others() -> Iterator[Path]:
    """
    List the processes that aren't the tests' own.

    What a test still runs (a `kubectl get --watch` of the lab's cluster) ties itself to the lab,
    but isn't the lab's to end. What a lab starts outlives the command that started it, so it is
    nobody's child by the time that anyone looks.
    """
    own = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    for entry in _entries(Path("/proc")):
        if entry.name.isdigit() and int(entry.name) not in own:
            yield entry


def _command(entry: Path) -> str:
    return f"{entry.name}: {_fact(entry / 'cmdline').replace(bytes(1), b' ').decode()}"


def _ties(entry: Path) -> bytes:
    facts = [_fact(entry / "cmdline"), _fact(entry / "environ")]
    facts += [_link(entry / name) + b"/" for name in ("cwd", "root", "exe")]
    if _link(entry / "ns/mnt") != _link(Path("/proc/self/ns/mnt")):
        facts.append(_fact(entry / "mountinfo"))  # a container: its root lies in a device's store
    return bytes(1).join(facts)


def _fact(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _link(path: Path) -> bytes:
    try:
        return os.fsencode(path.readlink())
    except OSError:
        return b""
