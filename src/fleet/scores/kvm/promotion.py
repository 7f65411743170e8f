"""
Makes a hypervisor of a Linux machine, and probes that it is one.

Packages are those of the machine's family, services those whose units exist: one daemon, or one
for each part. A libvirt that answers already is used as it is: it may be somebody's, so nothing is
installed beside it, started, or configured. Then everything promised is tried.
"""

import contextlib
import grp
import os
import pwd
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import structlog

from fleet import errors
from fleet.scores import waiting
from fleet.scores.capabilities import RunsCommands
from fleet.scores.kvm import accelerator, elements
from fleet.scores.kvm.accelerator import Choice
from fleet.scores.kvm.domains import Accelerator
from fleet.scores.kvm.hypervisor import Hypervisor
from fleet.scores.kvm.libvirt import LibvirtHypervisor
from fleet.scores.kvm.topology import KvmHostTopology
from fleet.scores.linux import packages, services
from fleet.scores.linux.architecture import Arch
from fleet.scores.linux.families import Purpose
from fleet.scores.linux.machine import Machine, run
from fleet.scores.linux.packages import PackageScore
from fleet.scores.linux.services import SystemdServiceScore
from fleet.scores.linux.users import MembershipScore
from fleet.scores.score import Score

log = structlog.get_logger(__name__)

GROUP = "libvirt"
"""whose members may ask libvirt for everything, by the packages of each family"""

# libvirt's two shapes. Sockets are what is enabled: the daemons start when they are asked.
_MODULAR = "virtqemud.socket"
_MODULES = ("virtnetworkd.socket", "virtstoraged.socket", "virtnodedevd.socket")
_WHOLE = "libvirtd.socket"
_LOG = "virtlogd.socket"
_ANSWERS_WITHIN = 60.0  # it looks at every emulator first

Connect = Callable[[str], Hypervisor]


@dataclass(frozen=True)
class LibvirtServicesScore(Score[RunsCommands]):
    """libvirt's daemons are enabled and listen: whichever of its two shapes is installed."""

    @property
    def name(self) -> str:
        return "libvirt's services"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        return tuple(
            difference for score in _units(topology) for difference in score.differences(topology)
        )

    def bring_about(self, topology: RunsCommands) -> None:
        for score in _units(topology):
            score.interpret(topology).expect()


def _units(topology: RunsCommands) -> tuple[SystemdServiceScore, ...]:
    """Choose by what is there, and not by the distribution: releases differ in it."""
    qemu = services.first_of(topology.machine, _WHOLE, _MODULAR)
    if qemu.unit == _WHOLE and not _is_modular(topology):
        units: tuple[str, ...] = (_LOG, _WHOLE)
    else:
        units = (_LOG, _MODULAR, *_MODULES)
    return tuple(SystemdServiceScore(unit) for unit in units)


def _is_modular(topology: RunsCommands) -> bool:
    """Tell whether both are there, and the modular ones are what the distribution enabled."""
    whole, modular = services.states(topology.machine, _WHOLE, _MODULAR)
    return modular.exists and modular.is_enabled and not whole.is_enabled


SCORES: tuple[Score[RunsCommands], ...] = (
    PackageScore(purpose=Purpose.HYPERVISOR),
    LibvirtServicesScore(),
)


@dataclass(frozen=True)
class PromotionScore(Score[RunsCommands]):
    """
    A machine is a hypervisor, whose libvirt answers us at *uri*, and lets us change things.

    Without a *uri* it is asked where the machine says. Whoever logs in to it and isn't root is put
    in libvirt's group, as is whoever runs this where the machine is this one.
    """

    uri: str = ""
    connect: Connect = field(default=LibvirtHypervisor.connect, compare=False, repr=False)

    @property
    def name(self) -> str:
        return f"hypervisor {self.uri}" if self.uri else "hypervisor"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        if not (refusal := self._refusal(topology)):
            return ()
        # The first that is missing something: a unit isn't there before its package is.
        found = (score.differences(topology) for score in self._scores(topology))
        return next(filter(None, found), (refusal,))

    def bring_about(self, topology: RunsCommands) -> None:
        for score in self._scores(topology):
            score.interpret(topology).expect()
        uri = self._at(topology)
        _check_session(uri)
        waiting.until(
            f"libvirt at {uri} to answer",
            lambda: self._refusal(topology),
            within=_ANSWERS_WITHIN,
        )

    def connected(self, topology: RunsCommands) -> KvmHostTopology:
        """
        Return *topology*'s machine with its libvirt, which answers already. Nothing is tried.

        :raises errors.HypervisorUnavailable: it doesn't.
        """
        return KvmHostTopology(topology.machine, self.connect(self._at(topology)))

    def promoted(self, topology: RunsCommands) -> KvmHostTopology:
        """
        Return *topology*'s machine as the hypervisor that it is now, after trying what it promises.

        :raises errors.HostUnsupported: it doesn't keep that.
        """
        host = self.connected(topology)
        with contextlib.ExitStack() as unless_done:
            unless_done.push(host)
            probe(host)
            found = try_accelerator(host.machine)
            unless_done.pop_all()
        log.info("hypervisor probed", machine=host.machine.name, libvirt=host.hypervisor.uri,
                 accelerator=found.accelerator, reason=found.reason)  # fmt: skip
        return replace(host, accelerator=found)

    def _at(self, topology: RunsCommands) -> str:
        return self.uri or topology.machine.libvirt

    def _scores(self, topology: RunsCommands) -> tuple[Score[RunsCommands], ...]:
        user = _who_asks(self._at(topology))
        return (*SCORES, *([MembershipScore(user, (GROUP,))] if user else []))

    def _refusal(self, topology: RunsCommands) -> str:
        """Return why libvirt doesn't answer; nothing when it does."""
        try:
            with self.connected(topology) as host:
                host.hypervisor.version()
        except errors.HypervisorUnavailable as exc:
            return str(exc)
        return ""


def _who_asks(uri: str) -> str:
    """Name who needs libvirt's leave there: nobody as root, or where it is somebody's session."""
    parts = urlsplit(uri)
    if not parts.scheme.startswith("qemu") or parts.path != "/system":
        return ""
    user = unquote(parts.username or "") if parts.hostname else _we()
    return "" if user == "root" else user


def _we() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _check_session(uri: str) -> None:
    """Say so where we are in libvirt's group, and not yet in this session: it takes a login."""
    if not _who_asks(uri) or urlsplit(uri).hostname:
        return
    group = grp.getgrnam(GROUP)
    if group.gr_gid not in os.getgroups():
        raise errors.NotReady(
            f"{_we()} is in the group {GROUP} only from the next login on: log in again, and run"
            " this once more",
            element=GROUP,
        )


def probe(host: KvmHostTopology) -> None:
    """
    Try what is promised: libvirt can emulate this architecture, and takes a definition from us.

    :raises errors.HostUnsupported: one of these isn't so.
    :raises errors.HypervisorUnavailable: it doesn't answer any more.
    """
    arch = packages.read_arch(host.machine)
    if not host.hypervisor.runs(arch, Accelerator.TCG):
        raise errors.HostUnsupported(
            f"{host.machine.name}: libvirt has no QEMU for {arch}; install qemu-system",
            element=arch,
        )
    name = f"fleet-probe-{uuid.uuid4().hex[:12]}"  # nobody else's, and no other probe's
    try:
        host.hypervisor.define(_smallest(name, arch))
        host.hypervisor.undefine(name)
    except errors.HypervisorRefused as exc:
        raise errors.HostUnsupported(
            f"{host.machine.name}: libvirt takes no definition: {exc}", element=name
        ) from exc


def try_accelerator(machine: Machine) -> Choice:
    """Find out by trial what guests of *machine*'s architecture run by; it boots its own kernel."""
    release = run(machine, "uname", "-r").strip()
    places = (Path(f"/boot/vmlinuz-{release}"), Path(f"/lib/modules/{release}/vmlinuz"))
    kernel = next((path for path in places if machine.ask("test", "-e", str(path)).ok), None)
    if kernel is None:
        wanted = " or ".join(map(str, places))
        return Choice(Accelerator.TCG, f"emulated: there is no kernel to try KVM with, {wanted}")
    return accelerator.choose(packages.read_arch(machine), kernel, machine=machine)


def _smallest(name: str, arch: Arch) -> str:
    machine = {Arch.X86_64: "pc", Arch.AARCH64: "virt"}[arch]
    kind = elements.element("type", {"arch": arch, "machine": machine}, text="hvm")
    root = elements.element(
        "domain",
        {"type": "qemu"},
        elements.element("name", text=name),
        elements.metadata("probe"),
        elements.element("memory", {"unit": "KiB"}, text="65536"),
        elements.element("os", None, kind),
    )
    return elements.text_of(root)
