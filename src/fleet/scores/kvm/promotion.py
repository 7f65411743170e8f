"""
Makes a hypervisor of a Linux machine, and probes that it is one.

Packages are those of the machine's family, services those whose units exist: one daemon, or one
for each part. A libvirt that answers already is used as it is: it may be somebody's, so nothing is
installed beside it, started, or configured. Then everything promised is tried.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from fleet import errors
from fleet.scores import waiting
from fleet.scores.capabilities import RunsCommands
from fleet.scores.kvm import elements
from fleet.scores.kvm.domains import Accelerator
from fleet.scores.kvm.hypervisor import Hypervisor
from fleet.scores.kvm.libvirt import LibvirtHypervisor
from fleet.scores.kvm.topology import KvmHostTopology
from fleet.scores.linux import packages, services
from fleet.scores.linux.architecture import Arch
from fleet.scores.linux.families import Purpose
from fleet.scores.linux.packages import PackageScore
from fleet.scores.linux.services import SystemdServiceScore
from fleet.scores.score import Score

HERE = "qemu:///system"

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
    """A machine is a hypervisor, whose libvirt answers at *uri*."""

    uri: str = HERE
    connect: Connect = field(default=LibvirtHypervisor.connect, compare=False, repr=False)

    @property
    def name(self) -> str:
        return f"hypervisor {self.uri}"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        if self._refusal() is None:
            return ()
        return tuple(
            difference for score in SCORES for difference in score.differences(topology)
        ) or ("libvirt doesn't answer",)

    def bring_about(self, topology: RunsCommands) -> None:
        for score in SCORES:
            score.interpret(topology).expect()
        waiting.until(
            f"libvirt at {self.uri} to answer",
            lambda: str(self._refusal() or ""),
            within=_ANSWERS_WITHIN,
        )

    def _refusal(self) -> errors.HypervisorUnavailable | None:
        """Return why libvirt doesn't answer; None when it does."""
        try:
            self.connect(self.uri).version()
        except errors.HypervisorUnavailable as exc:
            return exc
        return None


def promote(
    topology: RunsCommands, *, uri: str = HERE, connect: Connect = LibvirtHypervisor.connect
) -> KvmHostTopology:
    """
    Make a hypervisor of *topology*'s machine, or find that it is one, and return it as that.

    *uri* is where its libvirt answers to us; of another machine, that is ``KvmHost(…).uri()``.

    :raises errors.HostUnsupported: it can't become one; the message says what would help.
    :raises errors.HypervisorUnavailable: libvirt doesn't answer, though all is installed.
    """
    PromotionScore(uri, connect).interpret(topology).expect()
    promoted = KvmHostTopology(topology.machine, connect(uri))
    probe(promoted)
    return promoted


def probe(host: KvmHostTopology) -> None:
    """
    Try what is promised: libvirt answers, can emulate this architecture, and takes a definition.

    :raises errors.HostUnsupported: one of these isn't so.
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
