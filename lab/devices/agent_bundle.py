"""
Makes the archives that agents are installed from (`fleet.scores.device.bundle`), without emulation.

uv gathers the wheels of ``requirements/agent.txt`` by their hashes for another platform than ours;
this checkout's ``fleet`` is laid beside them, without what no device runs. The same inputs give the
same archive, and another source gives another version: the project's, and a digest. Each is made
once, under a lock, in the cache.
"""

import gzip
import hashlib
import os
import re
import shutil
import struct
import sys
import tarfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

import fleet
from fleet import directories, errors
from fleet.scores.device import travelling
from fleet.scores.device.bundle import Bundle
from fleet.scores.linux.architecture import Arch
from lab.errors import LabError
from lab.host import files
from lab.system import commands, locks
from lab.system.programs import program

PYTHONS = ("3.11", "3.13")
_SOURCE = Path(fleet.__file__).parent
_ROOT = _SOURCE.parents[1]
_REQUIREMENTS = _ROOT / "requirements" / "agent.txt"
_UNUSED = ("operator",)  # no device runs it
_GLIBC = "manylinux_2_36"  # Debian 12's; later ones run what was built for it
_MACHINES = {Arch.X86_64: 62, Arch.AARCH64: 183}  # of ELF
_PIN = re.compile(r"^([a-z0-9-]+)==", re.MULTILINE)
_SOURCE_ONLY = frozenset({"nkeys"})  # pure Python, published without a wheel


class BundleInvalid(LabError):
    """What was gathered isn't what a device of that platform can run."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """
    What a bundle is made for, and of. *laid_over* replaces or adds files, relative to the packages.

    Laying something over gives a version of its own: what trials of upgrades need.
    """

    arch: Arch
    python: str = "3.11"
    laid_over: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Return the version: the project's, and a digest of all that goes in."""
        return f"{_project_version()}+s{self.digest[:8]}"

    @property
    def digest(self) -> str:
        """Return the digest of all that goes in, but for the platform."""
        parts: list[str | bytes] = [_project_version(), _REQUIREMENTS.read_bytes()]
        parts += (Path(__file__).read_bytes(),)
        for path in _sources():
            parts += (str(path.relative_to(_SOURCE)), path.read_bytes())
        for name, content in sorted(self.laid_over.items()):
            parts += (name, content)
        return files.digest(*parts)


def bundle(
    arch: Arch, python: str = "3.11", *, laid_over: Mapping[str, bytes] | None = None
) -> Bundle:
    """
    Return the archive for that architecture and Python, made now where it isn't in the cache.

    :raises LabError: the wheels are not to be had, or not for that platform.
    """
    if python not in PYTHONS:
        message = f"agents are bundled for Python {' and '.join(PYTHONS)}, not {python}"
        raise BundleInvalid(message, element=python)
    recipe = Recipe(arch, python, laid_over or {})
    home = directories.cache_dir() / "agents" / recipe.digest
    home.mkdir(parents=True, exist_ok=True)
    with locks.beside(home):
        return _kept(home, recipe) or _make(home, recipe)


def is_kept(arch: Arch, python: str) -> bool:
    """Tell whether the archive for that architecture and Python is in the cache."""
    recipe = Recipe(arch, python)
    return _kept(directories.cache_dir() / "agents" / recipe.digest, recipe) is not None


def _name(recipe: Recipe) -> str:
    minor = recipe.python.replace(".", "")
    return f"fleet-agent-{recipe.version}-{recipe.arch}-py{minor}.tar.gz"


def _kept(home: Path, recipe: Recipe) -> Bundle | None:
    """Return what was made before; its description is written last."""
    path = home / _name(recipe)
    try:
        found = travelling.decode(Path(f"{path}.json").read_bytes(), Bundle)
    except (FileNotFoundError, errors.InvalidConfig):
        return None
    return msgspec.structs.replace(found, path=path) if path.exists() else None


def _make(home: Path, recipe: Recipe) -> Bundle:
    path = home / _name(recipe)
    tree = home / f"{path.name}.partial"
    shutil.rmtree(tree, ignore_errors=True)  # of one that was killed: we hold the lock
    try:
        _gather(recipe, tree)
        _lay(recipe, tree)
        _refuse_foreign(recipe.arch, tree)
        compiled = _compile(recipe, tree)
        _pack(tree, path)
    finally:
        shutil.rmtree(tree, ignore_errors=True)
    made = Bundle(
        path=path,
        version=recipe.version,
        digest=hashlib.sha256(path.read_bytes()).hexdigest(),
        arch=recipe.arch,
        python=recipe.python,
        compiled=compiled,
    )
    files.write(Path(f"{path}.json"), travelling.encode(made).decode())
    return made


def _gather(recipe: Recipe, tree: Path) -> None:
    """Have uv unpack the wheels into *tree*; it refuses what doesn't have its hash."""
    names = sorted(set(_PIN.findall(_REQUIREMENTS.read_text())) - _SOURCE_ONLY)
    commands.run(
        program("uv"), "pip", "install", "--quiet",
        "--require-hashes", "--no-deps", "--no-build-isolation", "--link-mode", "copy",
        *(part for name in names for part in ("--only-binary", name)),
        "--python-platform", f"{recipe.arch}-{_GLIBC}", "--python-version", recipe.python,
        "--target", str(tree), "-r", str(_REQUIREMENTS),
        env={**os.environ, "VIRTUAL_ENV": sys.prefix},
        within=600,
    )  # fmt: skip


def _lay(recipe: Recipe, tree: Path) -> None:
    """Lay ``fleet`` beside the wheels, with the metadata that it finds its version by."""
    for installer in (*tree.glob("bin"), *tree.glob(".lock"), *tree.glob("*.dist-info/*")):
        if installer.is_dir():
            shutil.rmtree(installer)
        elif installer.name != "METADATA":  # the rest tells of this host, or of nothing
            installer.unlink()
    for path in _sources():
        target = tree / "fleet" / path.relative_to(_SOURCE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    about = f"Metadata-Version: 2.1\nName: fleet\nVersion: {recipe.version}\n"
    over = {f"fleet-{recipe.version}.dist-info/METADATA": about.encode(), **recipe.laid_over}
    for name, content in over.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)


def _refuse_foreign(arch: Arch, tree: Path) -> None:
    """Look into every compiled module: is it for that processor?"""
    for path in tree.rglob("*.so"):
        (machine,) = struct.unpack_from("<H", path.read_bytes(), 18)
        if machine != _MACHINES[arch]:
            name = path.relative_to(tree)
            raise BundleInvalid(f"{name} is not compiled for {arch} (ELF machine {machine})")


def _compile(recipe: Recipe, tree: Path) -> bool:
    """
    Compile to byte code where we run the same Python; else the device does it, in many seconds.

    Byte code without the times of sources: they are all alike in the archive.
    """
    if recipe.python != f"{sys.version_info.major}.{sys.version_info.minor}":
        return False
    final = Path("/opt/fleet-agent", recipe.version)
    commands.run(
        sys.executable, "-m", "compileall", "-q", "-j", "1", "--invalidation-mode",
        "unchecked-hash", "-s", str(tree), "-p", str(final), str(tree),
        within=120,
    )  # fmt: skip
    return True


def _pack(tree: Path, path: Path) -> None:
    """Write *tree* as an archive that depends on names and contents alone."""
    draft = path.with_name(f"{path.name}.new")
    with (
        draft.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as zipped,
        tarfile.open(mode="w", fileobj=zipped, format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name in sorted(str(each.relative_to(tree)) for each in tree.rglob("*")):
            archive.add(tree / name, name, recursive=False, filter=_anonymous)
    draft.replace(path)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = "root"
    member.mode = 0o755 if member.isdir() else 0o644
    return member


def _sources() -> Iterator[Path]:
    unused = tuple(_SOURCE / name for name in _UNUSED)
    for path in sorted(_SOURCE.rglob("*")):
        is_source = path.is_file() and "__pycache__" not in path.parts
        if is_source and not any(path.is_relative_to(each) for each in unused):
            yield path


def _project_version() -> str:
    return str(tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["version"])
