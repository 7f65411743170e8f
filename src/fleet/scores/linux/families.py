"""
The families of distributions: how each installs packages, and what it calls them.

A machine says in its ``os-release`` what it is, and what it is like. Decides only: no I/O.

| Family | has             | seen to work                        |
|--------|-----------------|-------------------------------------|
| Debian | apt-get, dpkg   | by tests, on the real thing         |
| Fedora | dnf, rpm        | no: after its documentation         |
| SUSE   | zypper, rpm     | no: after its documentation         |
| Arch   | pacman          | no: after its documentation         |
| NixOS  | a configuration | refused, with the line to add to it |
"""

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from fleet import errors
from fleet.scores.linux.architecture import Arch
from fleet.scores.linux.machine import Answer

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")


class Family(StrEnum):
    """Distributions that install packages in the same way."""

    DEBIAN = "debian"
    FEDORA = "fedora"
    SUSE = "suse"
    ARCH = "arch"
    NIXOS = "nixos"


class Purpose(StrEnum):
    """What packages are wanted for; each family names and splits them differently."""

    HYPERVISOR = "hypervisor"
    PODMAN = "podman"
    SUDO = "sudo"


# What a distribution may call itself, or what it is like; the most specific comes first there.
_FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "debian": Family.DEBIAN,
        "ubuntu": Family.DEBIAN,
        "raspbian": Family.DEBIAN,
        "fedora": Family.FEDORA,
        "rhel": Family.FEDORA,
        "centos": Family.FEDORA,
        "suse": Family.SUSE,
        "opensuse": Family.SUSE,
        "arch": Family.ARCH,
        "nixos": Family.NIXOS,
    }
)

_NIXOS_LINES: Mapping[Purpose, str] = MappingProxyType(
    {
        Purpose.HYPERVISOR: "virtualisation.libvirtd.enable = true;",
        Purpose.PODMAN: "virtualisation.podman.enable = true;",
        Purpose.SUDO: "security.sudo.enable = true;",
    }
)

_PODMAN_BESIDES: Mapping[Family, tuple[str, ...]] = MappingProxyType(
    {
        # podman 4 takes slirp4netns for a user's network, and podman 5 passt.
        # aardvark-dns answers the names of services, and netavark only recommends it.
        Family.DEBIAN: (
            "podman",
            "aardvark-dns",
            "uidmap",
            "slirp4netns",
            "passt",
            "dbus-user-session",
        ),
        Family.FEDORA: ("podman", "aardvark-dns", "shadow-utils-subid", "slirp4netns"),
        Family.SUSE: ("podman", "aardvark-dns", "shadow", "slirp4netns"),
        Family.ARCH: ("podman", "aardvark-dns", "shadow", "slirp4netns"),
    }
)

# Of bookworm: qemu-kvm can't be had there, and each architecture has its firmware apart.
_HYPERVISOR: Mapping[tuple[Family, Arch], tuple[str, ...]] = MappingProxyType(
    {
        (Family.DEBIAN, Arch.X86_64): ("qemu-system-x86", "ovmf"),
        (Family.DEBIAN, Arch.AARCH64): ("qemu-system-arm", "qemu-efi-aarch64"),
        (Family.FEDORA, Arch.X86_64): ("qemu-kvm-core", "edk2-ovmf"),
        (Family.FEDORA, Arch.AARCH64): ("qemu-kvm-core", "edk2-aarch64"),
        (Family.SUSE, Arch.X86_64): ("qemu-kvm", "qemu-ovmf-x86_64"),
        (Family.SUSE, Arch.AARCH64): ("qemu-arm", "qemu-uefi-aarch64"),
        (Family.ARCH, Arch.X86_64): ("qemu-base", "edk2-ovmf"),
        (Family.ARCH, Arch.AARCH64): ("qemu-base", "edk2-aarch64"),
    }
)
_HYPERVISOR_BESIDES: Mapping[Family, tuple[str, ...]] = MappingProxyType(
    {
        Family.DEBIAN: (
            "qemu-utils", "libvirt-daemon-system", "libvirt-clients", "dnsmasq-base",
        ),
        # Without `which`, libvirt's clients don't find the way in over SSH.
        Family.FEDORA: ("qemu-img", "libvirt-daemon-kvm", "libvirt-client", "which"),
        Family.SUSE: ("qemu-tools", "libvirt-daemon-qemu", "libvirt-client"),
        Family.ARCH: ("qemu-img", "libvirt", "dnsmasq", "openbsd-netcat"),
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class OsRelease:
    """What a machine says that it is."""

    id: str
    like: tuple[str, ...] = ()
    version: str = ""
    title: str = ""

    @property
    def family(self) -> Family:
        """
        Return its family.

        :raises errors.HostUnsupported: it is of none that we know.
        """
        for word in (self.id, *self.like):
            for known in (word, word.partition("-")[0]):  # opensuse-leap
                if known in _FAMILIES:
                    return _FAMILIES[known]
        raise errors.HostUnsupported(
            f"{self.title or self.id or 'a machine without an os-release'} is not a distribution"
            f" that we know how to install packages on; those like {', '.join(Family)} are",
            element=self.id,
        )


def parse(text: str) -> OsRelease:
    """Read ``os-release``: assignments, quoted as for a shell."""
    found = dict(_assignment(line) for line in text.splitlines() if "=" in line)
    return OsRelease(
        found.get("ID", "linux").lower(),
        tuple(found.get("ID_LIKE", "").lower().split()),
        found.get("VERSION_ID", ""),
        found.get("PRETTY_NAME", ""),
    )


def packages(purpose: Purpose, family: Family, arch: Arch) -> tuple[str, ...]:
    """
    Name the packages that *purpose* takes.

    :raises errors.HostUnsupported: NixOS takes none, but a line of its configuration.
    """
    if family is Family.NIXOS:
        raise nixos(_NIXOS_LINES[purpose])
    match purpose:
        case Purpose.HYPERVISOR:
            return (*_HYPERVISOR[family, arch], *_HYPERVISOR_BESIDES[family])
        case Purpose.PODMAN:
            return _PODMAN_BESIDES[family]
        case Purpose.SUDO:
            return ("sudo",)


def nixos(line: str) -> errors.HostUnsupported:
    """Make the error of a machine that installs nothing on the side."""
    return errors.HostUnsupported(
        "NixOS takes no packages on the side; add this line to its configuration, and run"
        f" `nixos-rebuild switch`:\n  {line}",
        element=Family.NIXOS,
    )


def check_names(names: Iterable[str]) -> None:
    """
    Refuse what can't be the name of a package, and might be read as an option.

    :raises errors.InvalidConfig: one isn't.
    """
    for name in names:
        if not _NAME.fullmatch(name):
            raise errors.InvalidConfig(f"{name!r} is not the name of a package", element=name)


def query(family: Family, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command that tells which of *names* are installed."""
    match family:
        case Family.DEBIAN:
            shown = r"--showformat=${Package} ${db:Status-Status}\n"
            return ("dpkg-query", "--show", shown, "--", *names)
        case Family.FEDORA | Family.SUSE:
            return ("rpm", "--query", r"--queryformat=%{NAME} installed\n", *names)
        case Family.ARCH:
            return ("pacman", "--deptest", "--", *names)  # also counts what provides a name
        case Family.NIXOS:
            raise nixos(_in_environment(names))


def missing(family: Family, names: tuple[str, ...], answer: Answer) -> tuple[str, ...]:
    """Tell, from the answer to `query`, which of *names* aren't installed."""
    if family is Family.ARCH:
        lacking = set(answer.text.split())
        return tuple(name for name in names if name in lacking)
    installed = {
        words[0]
        for line in answer.text.splitlines()
        if (words := line.split())[1:] == ["installed"]
    }
    return tuple(name for name in names if name not in installed)


def install(family: Family, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command that installs *names*, and asks nothing."""
    match family:
        case Family.DEBIAN:
            # Keeps a configuration file that somebody changed, where the package brings another.
            quiet = (
                "--yes",
                "--quiet",
                "--no-install-recommends",
                "-oDpkg::Options::=--force-confold",
            )
            return ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *quiet, "install", *names)
        case Family.FEDORA:
            return ("dnf", "--assumeyes", "--setopt=install_weak_deps=False", "install", *names)
        case Family.SUSE:
            return ("zypper", "--non-interactive", "install", "--no-recommends", *names)
        case Family.ARCH:
            return ("pacman", "--sync", "--needed", "--noconfirm", "--", *names)
        case Family.NIXOS:
            raise nixos(_in_environment(names))


def refresh(family: Family) -> tuple[str, ...] | None:
    """Return the command that learns anew what can be installed; None where that isn't apart."""
    match family:
        case Family.DEBIAN:
            return ("apt-get", "--quiet", "update")
        case Family.SUSE:
            return ("zypper", "--non-interactive", "refresh")
        case Family.FEDORA | Family.ARCH | Family.NIXOS:
            # dnf does so by itself; on Arch it would mean to upgrade everything.
            return None


def _assignment(line: str) -> tuple[str, str]:
    key, _, value = line.strip().partition("=")
    try:
        return key, "".join(shlex.split(value, comments=True))
    except ValueError:  # a quote that doesn't end
        return key, value.strip("\"'")


def _in_environment(names: tuple[str, ...]) -> str:
    return f"environment.systemPackages = with pkgs; [ {' '.join(names)} ];"
