"""
Tries what the lab needs of this host, rather than reading flags, and tells how to mend what fails.

The trial is a throw-away lab of one device, made and undone by the lab's own scores: bridge,
firewall, namespaces, podman, and a container that answers on the device's address.
"""

import enum
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.table import Table

from fleet import directories
from lab import allocation, commands, labs, probes, undoing, waiting
from lab.cgroups import CgroupsScore
from lab.devices import host as host_devices
from lab.devices import podman
from lab.devices.host import HostDevice
from lab.host import Addresses, LabHost
from lab.images import catalogue, sharing
from lab.images.sharing import BaseStoreScore
from lab.network import FirewallScore

_TRIAL = "doctor"
_GIBIBYTE = 1 << 30
_BUILD_GIB = 8  # what a cold build of the toolchain takes
_INSTANCES = 64  # of inotify: enough for two labs of a few devices
_PROGRAMS = {
    "podman": "podman", "runc": "runc", "conmon": "conmon", "ip": "iproute2", "nft": "nftables",
    "iptables": "iptables", "nsenter": "util-linux", "docker-registry": "docker-registry",
    "busybox": "busybox-static",
}  # fmt: skip
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
        return (*found, Finding("container", Verdict.WARNS, "not tried: see above"))
    return (*found, _container())


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
    tools = [name for name in _TOOLCHAIN if shutil.which(name) is None]
    return (
        _judged(
            "programs",
            not packages,
            f"missing: {', '.join(packages)}",
            "apt-get install " + " ".join(packages),
        ),
        _judged("toolchain", not tools, f"missing: {', '.join(tools)}", "run it through ./dev"),
    )


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
        number = allocation.choose(allocation.look_around(labs.state_of(_TRIAL).parent, but=""))
    except Exception as exc:
        return Finding("addresses", Verdict.FAILS, str(exc), getattr(exc, "hint", ""))
    return Finding("addresses", Verdict.WORKS, f"{Addresses(number).subnet} is free")


def _container() -> Finding:
    """Run a container on a device of a lab made for the purpose."""
    engine = podman.engine_here()
    try:
        with labs.held(_TRIAL, "lab.doctor", within=120, saw=lambda _: None):
            _undo()  # a doctor before us may have been killed
            try:
                _try_container(labs.ensure(_TRIAL, "smoke").host)
            finally:
                _undo()
        shutil.rmtree(labs.state_of(_TRIAL))
    except Exception as exc:
        return Finding(
            "container", Verdict.FAILS, f"{engine.runtime}: {exc}", getattr(exc, "hint", "")
        )
    limits = ", ulimits lowered" if engine.limits else ""
    return Finding("container", Verdict.WORKS, f"{engine.runtime}{limits}; answers on its address")


def _try_container(host: LabHost) -> None:
    device = HostDevice("trial", 1, {}, "", Path(), "localhost:1", sharing.store())
    without_agent = host_devices.scores(host, device)[:-2]
    for score in (FirewallScore(), BaseStoreScore(), CgroupsScore(), *without_agent):
        score.interpret(host).expect()
    _serve(host, device)


def _undo() -> None:
    for left in undoing.take_down(labs.trace(_TRIAL), lambda _: None):
        raise left.error


def _serve(host: LabHost, device: HostDevice) -> None:
    url = f"unix://{host_devices.socket_of(host, device.id)}"
    image = commands.run("podman", "--url", url, "images", "--quiet").split()[0]
    port = catalogue.PORT
    commands.run(
        "podman", "--url", url, "run", "--detach", "--pull=never", "--publish", f"{port}:{port}",
        image, "httpd", "-f", "-p", str(port), "-h", "/bin",
    )  # fmt: skip
    answers = probes.tcp(str(host.addresses.device(device.index)), port)
    waiting.wait_for("the container answers", answers, within=15)


def _judged(
    subject: str, good: bool, reason: str, fix: str, otherwise: Verdict = Verdict.FAILS
) -> Finding:
    return Finding(subject, Verdict.WORKS) if good else Finding(subject, otherwise, reason, fix)
