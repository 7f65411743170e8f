"""
Builds an image from the packages of its distribution: mmdebstrap, `mke2fs -d`, `qemu-img convert`.

No loop device, no mount of a disk: the root is a directory first, with owners and modes as they are
to be, and then a file system. For another architecture its programs run under qemu-user, which the
kernel is told of for that long. What a build started ends with it, however that ends.
"""

import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from fleet.scores.linux.architecture import Arch
from lab.errors import LabError, PreflightFailed
from lab.images.cloud import initrd, recipe, sources
from lab.images.cloud.catalogue import Image
from lab.images.cloud.child_processes import contained, dying_with_us
from lab.system import commands

DISK = "disk.qcow2"
KERNEL = "vmlinuz"
INITRD = "initrd"
PACKAGES = "packages.txt"

_BUILDER = 3  # raised when this module makes something else of the same recipe
_WITHIN = 3000  # seconds for the packages, under emulation of another architecture
_UUID = "d8a1f0c6-53f4-4f04-9c1e-6a8f7d0b1c55"  # the same in every image: nothing depends on it
_MERGED_USR = "/usr/share/mmdebstrap/hooks/merged-usr"  # of mmdebstrap: by links, not by Perl
_PROGRAMS = {
    "dpkg-query": "dpkg",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}


def build(image: Image, into: Path, saw: Callable[[str], None]) -> None:
    """
    Make the disk, the kernel, the initrd and the list of packages of *image* in *into*.

    :raises PreflightFailed: the host lacks a program, or a source of packages.
    :raises LabError: a program failed; says which, and with what words.
    """
    require_programs(image.arch)
    root = into / "root"
    saw(f"{image.name}: installing its packages; a minute, or ten for another architecture")
    listed = into / "sources"
    _install(image, root, listed)
    listed.unlink()  # it may hold a password of the host's
    saw(f"{image.name}: writing its files")
    _furnish(root)
    (into / PACKAGES).write_text(_versions(root))
    kernel = _kernel(root)
    shutil.copyfile(root / "boot" / f"vmlinuz-{kernel}", into / KERNEL)
    (into / INITRD).write_bytes(initrd.make(root, kernel, recipe.MODULES))
    saw(f"{image.name}: packing its disk")
    _pack(image, root, into)
    shutil.rmtree(root)


def require_programs(arch: Arch) -> None:
    """
    See that all is installed that building takes.

    :raises PreflightFailed: a program is missing; says in which of Debian's packages it is.
    """
    wanted = dict(_PROGRAMS)
    if arch != platform.machine():
        wanted[f"qemu-{arch}-static"] = "qemu-user-static"
        wanted["arch-test"] = "arch-test"
    missing = {name: package for name, package in wanted.items() if shutil.which(name) is None}
    if missing:
        names, packages = ", ".join(missing), " ".join(sorted(set(missing.values())))
        message = f"building an image takes {names}"
        raise PreflightFailed(message, element=names, hint=f"apt-get install {packages}")


def _install(image: Image, root: Path, listed: Path) -> None:
    here = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    listed.write_text(sources.for_release(sources.here(), here, image.release))
    options = [f"--dpkgopt=path-exclude={path}" for path in recipe.EXCLUDED]
    packages = ",".join(recipe.packages(image.arch, image.release))
    merged = [f"--hook-dir={_MERGED_USR}"] if image.release in recipe.USR_IS_MERGED else []
    command: tuple[str, ...] = (
        "mmdebstrap", "--mode=root", "--variant=apt", "--format=directory", "--quiet",
        f"--architectures={image.arch.debian}", f"--include={packages}", *merged, *options,
        image.release, str(root), str(listed),
    )  # fmt: skip
    if image.arch != platform.machine():
        command = (sys.executable, "-m", "lab.images.cloud.emulation", image.arch, *command)
    commands.run(*contained(command), env=dict(os.environ), within=_WITHIN)


def _furnish(root: Path) -> None:
    for pattern in recipe.REMOVED:
        for path in root.glob(pattern):
            path.unlink() if not path.is_dir() else shutil.rmtree(path)
    for name, content in recipe.FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(content)
    for name, target in recipe.LINKS.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)


def _versions(root: Path) -> str:
    """Return what was installed, a line for each package: the archive may have others tomorrow."""
    form = "${Package} ${Version}\n"
    listed = commands.run("dpkg-query", f"--root={root}", "--show", f"--showformat={form}")
    return "".join(sorted(listed.splitlines(keepends=True)))


def _kernel(root: Path) -> str:
    found = sorted((root / "boot").glob("vmlinuz-*"))
    if not found:
        raise LabError(f"the packages in {root} brought no kernel", element=str(root))
    return found[-1].name.removeprefix("vmlinuz-")


def _pack(image: Image, root: Path, into: Path) -> None:
    raw = into / "disk.raw"
    for command in (
        ("mke2fs", "-q", "-t", "ext4", "-L", "root", "-U", _UUID, "-m", "0",
         "-E", f"hash_seed={_UUID},lazy_itable_init=1",
         "-d", str(root), str(raw), f"{image.size}M"),
        ("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(into / DISK)),
    ):  # fmt: skip
        commands.run(*dying_with_us(command), within=600)
    raw.unlink()


def described(image: Image) -> str:
    """Return all that a built image depends on, as text: its digest is the image's address."""
    about = {
        "builder": _BUILDER,
        "arch": image.arch,
        "release": image.release,
        "size": image.size,
        "packages": recipe.packages(image.arch, image.release),
        "excluded": recipe.EXCLUDED,
        "removed": recipe.REMOVED,
        "files": recipe.FILES,
        "links": recipe.LINKS,
        "initrd": (initrd.INIT, recipe.MODULES),
    }
    return json.dumps(about, sort_keys=True)
