"""
Tries what the lab needs of this host, rather than reading flags, and tells how to mend what fails.

What a device needs is tried on a throw-away lab (`trials`). A finding's reason is what a test
that can't run here says for being skipped.
"""

import enum
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.table import Table

from fleet import directories
from lab.doctor import trials
from lab.host import address_allocation, labs
from lab.host.lab_host import Addresses
from lab.system import commands

_GIBIBYTE = 1 << 30
_BUILD_GIB = 8  # what a cold build of the toolchain takes
_INSTANCES = 64  # of inotify: enough for two labs of a few devices
_PROGRAMS = {
    "podman": "podman", "runc": "runc", "conmon": "conmon", "ip": "iproute2", "nft": "nftables",
    "iptables": "iptables", "nsenter": "util-linux", "docker-registry": "docker-registry",
    "busybox": "busybox-static", "newuidmap": "uidmap", "slirp4netns": "slirp4netns",
}  # fmt: skip
_FIXES = {
    "network": "load the kernel's modules for it: modprobe -a bridge veth nf_tables",
    "podman": "look at the log of podman-trial, and at `podman info`",
    "container": "look at what podman says above; on hybrid cgroups only runc works",
    "limits": "mount the cgroup controllers memory, cpu and pids, or leave `resources` out",
    "rootless": "allow user namespaces (sysctl user.max_user_namespaces), load tun, and look at "
    "the log of podman-rootless; or take `rootless` out of the topology",
}
_TOOLCHAIN = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "nats-server")


class Verdict(enum.StrEnum):
    """What the doctor says."""

    WORKS = "works"
    WARNS = "warns"
    FAILS = "fails"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing tried. *reason* is what a skipped test says; *fix* is what to type."""

    subject: str
    verdict: Verdict
    reason: str = ""
    fix: str = ""

    def as_dict(self) -> Mapping[str, str]:
        """Return it for JSON."""
        return {
            "subject": self.subject,
            "verdict": str(self.verdict),
            "reason": self.reason,
            "fix": self.fix,
        }


def examine() -> tuple[Finding, ...]:
    """Try everything, the cheapest first; containers only where what they need is there."""
    found = (_root(), *_programs(), _disk(), _memory(), _inotify(), _filtering(), _addresses())
    if any(finding.verdict is Verdict.FAILS for finding in found):
        return (*found, *_not_tried(trials.subjects()))
    return (*found, *_trials())


def table(found: tuple[Finding, ...]) -> Table:
    """Return the findings as a table."""
    colours = {Verdict.WORKS: "green", Verdict.WARNS: "yellow", Verdict.FAILS: "red"}
    shown = Table("what", "verdict", "why", "what to do")
    for finding in found:
        verdict = f"[{colours[finding.verdict]}]{finding.verdict}[/]"
        shown.add_row(finding.subject, verdict, finding.reason, finding.fix)
    return shown


def _root() -> Finding:
    if os.geteuid() == 0:
        return Finding("root", Verdict.WORKS)
    return Finding("root", Verdict.FAILS, "the lab needs root", labs.as_root("lab.doctor"))


def _programs() -> tuple[Finding, ...]:
    packages = [package for name, package in _PROGRAMS.items() if shutil.which(name) is None]
    broken = [name for name in _TOOLCHAIN if not _runs(name)]
    return (
        _judged(
            "programs",
            not packages,
            f"missing: {', '.join(packages)}",
            "apt-get install " + " ".join(packages),
        ),
        _judged(
            "toolchain",
            not broken,
            f"missing, or doesn't run here: {', '.join(broken)}",
            "run it through ./dev",
        ),
    )


def _runs(program: str) -> bool:
    if shutil.which(program) is None:
        return False
    version = ("version", "--client") if program == "kubectl" else ("--version",)
    return commands.ask(program, *version).code == 0


def _disk() -> Finding:
    free = shutil.disk_usage(directories.cache_dir()).free / _GIBIBYTE
    reason = f"{free:.1f} GiB free in {directories.cache_dir()}; a cold build takes {_BUILD_GIB}"
    return _judged(
        "disk", free > _BUILD_GIB, reason, "choose another HARMONY_DATA_DIR", Verdict.WARNS
    )


def _memory() -> Finding:
    free = psutil.virtual_memory().available / _GIBIBYTE
    reason = f"{free:.1f} GiB available; a lab takes about 1"
    return _judged("memory", free > 1, reason, "end something else", Verdict.WARNS)


def _inotify() -> Finding:
    path = Path("/proc/sys/fs/inotify/max_user_instances")
    limit = int(path.read_text())
    fix = "sysctl fs.inotify.max_user_instances=1024"
    reason = f"{limit} inotify instances: enough for about {limit // 4} devices"
    return _judged("inotify", limit >= _INSTANCES, reason, fix, Verdict.WARNS)


def _filtering() -> Finding:
    """With br_netfilter, Docker's FORWARD policy of DROP parts the devices from each other."""
    bridged = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    calls = bridged.exists() and bridged.read_text().strip() == "1"
    policy = (
        commands.ask("iptables", "-S", "FORWARD") if calls and shutil.which("iptables") else None
    )
    drops = policy is not None and "-P FORWARD DROP" in policy.out
    return _judged(
        "bridge filter",
        not drops,
        "bridged frames pass iptables, whose FORWARD policy is DROP: devices are cut off",
        "iptables -I FORWARD -i fl+ -o fl+ -j ACCEPT",
        Verdict.WARNS,
    )


def _addresses() -> Finding:
    try:
        number = address_allocation.choose(
            address_allocation.look_around(labs.state_of("doctor").parent, but="")
        )
    except Exception as exc:
        return Finding("addresses", Verdict.FAILS, str(exc), getattr(exc, "hint", ""))
    return Finding("addresses", Verdict.WORKS, f"{Addresses(number).subnet} is free")


def _trials() -> Iterator[Finding]:
    """Try what a device needs; what wasn't reached says so."""
    left = list(trials.subjects())
    try:
        for result in trials.run():
            left.remove(result.subject)
            yield _found(result)
    except Exception as exc:
        yield Finding("trial", Verdict.FAILS, str(exc), getattr(exc, "hint", ""))
    yield from _not_tried(left)


def _found(result: trials.Result) -> Finding:
    if result.error is None:
        return Finding(result.subject, Verdict.WORKS, result.note)
    fix = getattr(result.error, "hint", "") or _FIXES.get(result.subject, "")
    return Finding(result.subject, Verdict.FAILS, str(result.error), fix)


def _not_tried(subjects: Iterable[str]) -> Iterator[Finding]:
    return (Finding(subject, Verdict.WARNS, "not tried: see above") for subject in subjects)


def _judged(
    subject: str, good: bool, reason: str, fix: str, otherwise: Verdict = Verdict.FAILS
) -> Finding:
    return Finding(subject, Verdict.WORKS) if good else Finding(subject, otherwise, reason, fix)
