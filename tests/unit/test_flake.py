"""The two ways into the environment, ./dev and Nix, have the same programs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLAKE = (ROOT / "flake.nix").read_text()
# What nixpkgs calls the packages that Debian calls otherwise; the rest has one name.
IN_NIXPKGS = {
    "busybox-static": "pkgsStatic.busybox",
    "docker-registry": "distribution",
    "libvirt-clients": "libvirt",
    "libvirt-daemon": "libvirt",
    "libvirt-dev": "libvirt",
    "openssh-client": "openssh",
    "qemu-system-arm": "qemu",
    "qemu-system-x86": "qemu",
    "qemu-user-static": "pkgsStatic.qemu-user",
    "qemu-utils": "qemu",
    "uidmap": "shadow",
}
DEBIANS_OWN = {"arch-test"}  # mmdebstrap asks it whether another architecture's programs run


def debian_packages() -> list[str]:
    """List the packages that ./dev installs on Debian."""
    block = re.search(r"SYSTEM_PROGRAMS=\((.*?)\)", (ROOT / "dev").read_text(), re.DOTALL)
    assert block
    return sorted({entry.partition(":")[2] for entry in block[1].split()} - DEBIANS_OWN)


@pytest.mark.parametrize("package", debian_packages())
def test_the_flake_has_every_package_that_dev_installs(package: str):
    name = IN_NIXPKGS.get(package, package)
    assert re.search(rf"\bpkgs\.{re.escape(name)}\b|\$\{{pkgs\.{re.escape(name)}\}}", FLAKE), name
