"""
Which accelerator machines of this host get: found by trial once per boot of the host, and kept.

`LAB_ACCELERATOR` (``tcg`` or ``kvm``) overrides what was found.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fleet import directories
from fleet.scores.kvm import accelerator
from fleet.scores.kvm.domains import Accelerator
from fleet.scores.linux.architecture import Arch
from fleet.scores.score import Score
from lab.errors import TopologyInvalid
from lab.host.lab_host import LabHost, read_json, write_json
from lab.images.cloud import cache, catalogue
from lab.system import locks, procfs

VARIABLE = "LAB_ACCELERATOR"


@dataclass(frozen=True)
class AcceleratorScore(Score[LabHost]):
    """It is known how machines of *arch* run here, by booting the kernel of *image*."""

    arch: Arch
    image: str

    @property
    def name(self) -> str:
        return f"accelerator {self.arch}"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        del topology
        stored = cache.stored(catalogue.find(self.image))
        known = stored is not None and stored.kernel is not None and _known(stored.kernel)
        return () if known else ("it was not tried since this host booted",)

    def bring_about(self, topology: LabHost) -> None:
        stored = cache.ensure(catalogue.find(self.image), topology.saw)
        if stored.kernel is None:
            return
        choice = accelerator.choose(self.arch, stored.kernel, stored.initrd)
        topology.saw(f"{choice.accelerator}: {choice.reason}")
        with locks.beside(_book()):
            kept = {key: value for key, value in read_json(_book()).items() if _is_of_now(key)}
            found = {"accelerator": str(choice.accelerator), "reason": choice.reason}
            write_json(_book(), {**kept, _key(stored.kernel): found})


def chosen(kernel: Path, environ: Mapping[str, str] = os.environ) -> Accelerator:
    """
    Return how a machine with that *kernel* runs here; what was never tried is emulated.

    :raises TopologyInvalid: the variable names something else.
    """
    if wanted := environ.get(VARIABLE):
        try:
            return Accelerator(wanted)
        except ValueError as exc:
            known = " and ".join(Accelerator)
            message = f"{VARIABLE}={wanted}: there are {known}"
            raise TopologyInvalid(message, element=VARIABLE) from exc
    return Accelerator((_known(kernel) or {}).get("accelerator", Accelerator.TCG))


def reason(kernel: Path) -> str:
    """Say why machines run as they do."""
    return str((_known(kernel) or {}).get("reason", "not tried yet"))


def _known(kernel: Path) -> Mapping[str, str] | None:
    return read_json(_book()).get(_key(kernel))


def _book() -> Path:
    return directories.cache_dir() / "accelerators.json"


def _key(kernel: Path) -> str:
    return f"{procfs.boot_id()} {kernel}"


def _is_of_now(key: str) -> bool:
    return key.startswith(procfs.boot_id())
