"""
Tells beforehand whether this host can carry a machine of an architecture, and what would help.

The same report is shown by `lab.doctor`, and is why a test that needs a machine is skipped. What
can be tried is tried: a bridge is made in a network of its own, a kernel is booted under KVM.
"""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from fleet import directories
from fleet.scores.kvm import accelerator
from fleet.scores.kvm.domains import Accelerator
from fleet.scores.linux.architecture import Arch
from fleet.scores.linux.local import LocalMachine
from fleet.scores.linux.machine import Machine
from lab.doctor.examination import Finding, Verdict

_GIBIBYTE = 1 << 30
_MEMORY_GIB = 1.5  # one machine, and QEMU around it
_DISK_GIB = 4.0  # an image while it is built, and the disks that stand on it
_PROGRAMS = {
    "qemu-img": "qemu-utils", "libvirtd": "libvirt-daemon", "ip": "iproute2",
    "unshare": "util-linux",
}  # fmt: skip
_EMULATORS = {Arch.X86_64: "qemu-system-x86", Arch.AARCH64: "qemu-system-arm"}
_BUILDERS = {"mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs"}
_BINDING = "libvirt"

Which = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. *found* says what was seen, good or bad; *fix* what to do about it."""

    name: str
    ok: bool
    found: str
    fix: str = ""

    def as_dict(self) -> Mapping[str, str | bool]:
        """Return it for JSON."""
        return {"name": self.name, "ok": self.ok, "found": self.found, "fix": self.fix}

    def as_finding(self, arch: Arch) -> Finding:
        """Return it as the doctor says it: machines are optional, so what is missing warns."""
        verdict = Verdict.WORKS if self.ok else Verdict.WARNS
        fix = "" if self.ok else self.fix
        return Finding(f"machines {arch}: {self.name}", verdict, self.found, fix)


@dataclass(frozen=True, slots=True)
class PreflightReport:
    """What was found about machines of one architecture."""

    arch: Arch
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Tell whether such a machine can be had here."""
        return all(check.ok for check in self.checks)

    def reason(self) -> str:
        """Say in one line what is missing, and what would help; nothing where nothing is."""
        bad = [check for check in self.checks if not check.ok]
        said = "; ".join(f"{check.name}: {check.found} ({check.fix})" for check in bad)
        return f"no {self.arch} machine here: {said}" if bad else ""

    def as_dict(self) -> Mapping[str, object]:
        """Return it for JSON."""
        checks = [check.as_dict() for check in self.checks]
        return {"arch": str(self.arch), "ok": self.ok, "reason": self.reason(), "checks": checks}

    def as_findings(self) -> tuple[Finding, ...]:
        """Return it as the doctor says it."""
        return tuple(check.as_finding(self.arch) for check in self.checks)


def check_fleet_smoke_preflight_for_arch(
    arch: Arch,
    *,
    kernel: Path | None = None,
    has_image: bool = False,
    which: Which = shutil.which,
    machine: Machine | None = None,
) -> PreflightReport:
    """
    Look whether this host can carry a machine of *arch*.

    *has_image* tells that its image is in the cache, so that none needs to be built. *kernel* is
    what the accelerator is tried with; without one, it isn't tried.
    """
    here = machine or LocalMachine()
    checks = (
        _root(),
        _programs(arch, which),
        _binding(),
        _image(arch, which, has_image=has_image),
        _memory(),
        _disk(),
        _bridge(here),
        _accelerator(arch, kernel, here),
    )
    return PreflightReport(arch, checks)


def _root() -> Check:
    found = f"user {os.geteuid()}"
    return Check("root", os.geteuid() == 0, found, "run it as root: sudo ./dev …")


def _programs(arch: Arch, which: Which) -> Check:
    wanted = {f"qemu-system-{arch}": _EMULATORS[arch], **_PROGRAMS}
    return _installed("programs", wanted, which)


def _binding() -> Check:
    there = importlib.util.find_spec(_BINDING) is not None
    found = "libvirt-python is there" if there else "libvirt-python is missing"
    return Check(
        "libvirt binding", there, found, "apt-get install libvirt-dev pkg-config gcc, and ./dev"
    )


def _image(arch: Arch, which: Which, *, has_image: bool) -> Check:
    if has_image:
        return Check("image", ok=True, found="in the cache")
    return _installed("image", {**_BUILDERS, **_foreign(arch)}, which, "not in the cache; ")


def _foreign(arch: Arch) -> Mapping[str, str]:
    """Return what building for another architecture than ours takes besides."""
    return {} if arch == os.uname().machine else {f"qemu-{arch}-static": "qemu-user-static"}


def _installed(name: str, programs: Mapping[str, str], which: Which, before: str = "") -> Check:
    missing = [program for program in programs if which(program) is None]
    if not missing:
        return Check(name, ok=True, found=f"{before}{', '.join(programs)} are there")
    packages = " ".join(dict.fromkeys(programs[program] for program in missing))
    return Check(
        name,
        ok=False,
        found=f"{before}{', '.join(missing)} missing",
        fix=f"apt-get install {packages}",
    )


def _memory() -> Check:
    free = psutil.virtual_memory().available / _GIBIBYTE
    found = f"{free:.1f} GiB available, a machine takes {_MEMORY_GIB:g}"
    return Check("memory", free >= _MEMORY_GIB, found, "end something else")


def _disk() -> Check:
    place = directories.cache_dir()
    free = shutil.disk_usage(place).free / _GIBIBYTE
    found = f"{free:.1f} GiB free in {place}, images and disks take {_DISK_GIB:g}"
    return Check("disk", free >= _DISK_GIB, found, "choose another HARMONY_DATA_DIR")


def _bridge(machine: Machine) -> Check:
    """Make a bridge in a network that ends with the program: nothing is left behind."""
    answer = machine.ask("unshare", "--net", "ip", "link", "add", "name", "fl0", "type", "bridge")
    said = "can be made" if answer.ok else answer.err.decode(errors="replace").strip()
    return Check("bridge", answer.ok, said, "load the kernel's module for it: modprobe bridge")


def _accelerator(arch: Arch, kernel: Path | None, machine: Machine) -> Check:
    """A machine runs either way: this only tells how fast."""
    if kernel is None:
        return Check("accelerator", ok=True, found="not tried: there is no kernel yet")
    choice = accelerator.choose(arch, kernel, machine=machine)
    slow = "; that works, ten times slower" if choice.accelerator is Accelerator.TCG else ""
    return Check("accelerator", ok=True, found=f"{choice.reason}{slow}")


def reports(kernels: Mapping[Arch, Path]) -> Iterator[PreflightReport]:
    """Look at every architecture; *kernels* are those of the images in the cache."""
    for arch in Arch:
        kernel = kernels.get(arch)
        yield check_fleet_smoke_preflight_for_arch(
            arch, kernel=kernel, has_image=kernel is not None
        )
