"""
The store of base images that every device reads and none writes.

It lies in the cache, keyed by what is in it, and is made complete before it gets its name.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from fleet import directories
from fleet.scores.score import Score
from lab.host import files, processes
from lab.host.lab_host import LabHost, read_json, write_json
from lab.images import demo_images, oci
from lab.system import commands, locks, podman_configuration

NAME = "localhost/fleet-base:latest"


@dataclass(frozen=True)
class BaseStoreScore(Score[LabHost]):
    """The shared store is there, and holds the base image."""

    @property
    def name(self) -> str:
        return "base images"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        where = store_of(topology)
        if not _is_complete(where):
            return (f"{where} is missing",)
        return () if _pinned(topology) == where else ("the lab has not settled on a store",)

    def bring_about(self, topology: LabHost) -> None:
        where = store_of(topology)
        where.parent.parent.mkdir(parents=True, exist_ok=True)
        with locks.beside(where.parent):
            if not _is_complete(where):
                topology.saw("filling the store of base images")
                _fill(where)
        write_json(topology.state / "images.json", {"base": str(where)})


def store() -> Path:
    """Return the root of the shared store."""
    key = files.digest(demo_images.base().manifest)
    return directories.cache_dir() / "images" / f"base-{key}" / "store"


def store_of(host: LabHost) -> Path:
    """Return the store that a lab uses: the one it began with, since its containers stand on it."""
    pinned = _pinned(host)
    return pinned if pinned and _is_complete(pinned) else store()


def _pinned(host: LabHost) -> Path | None:
    found = read_json(host.state / "images.json").get("base")
    return Path(found) if found else None


def _is_complete(where: Path) -> bool:
    return (where.parent / "complete").exists()


def _fill(where: Path) -> None:
    """Let podman import the image, in mounts of its own: it leaves nothing on the host."""
    root = where.parent
    for path, text in podman_configuration.files(
        root, podman_configuration.engine_here(), "localhost:1"
    ).items():
        files.write(path, text)
    for name in ("run", "tmp", "pulls"):
        (root / name).mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=root, suffix=".tar") as archive:
        archive.write(oci.archive({NAME: demo_images.base()}))
        archive.flush()
        env = {**processes.minimal_environment(), **podman_configuration.environment(root)}
        hide = "mount -t tmpfs tmpfs /run && mkdir -p /run/lock"
        commands.run(
            "unshare", "--mount", "--propagation", "private", "--", "sh", "-c",
            f'{hide} && exec podman load --quiet --input "$0"', archive.name, env=env, within=120,
        )  # fmt: skip
    (root / "complete").touch()
