"""
Admits machines to boot, by the memory and the cores of this host.

Many boots at once all time out: each gets less than the share that it needs. So a machine waits
for its turn, and says for whom.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import psutil

from lab.errors import PreflightFailed

_OVERHEAD_MIB = 700  # QEMU's own under TCG: translated code, device models
_RESERVE_MIB = 512  # for the rest of the lab
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the host can give: cores, and memory in MiB that is available now, and at all."""

    cores: int
    available_mib: int
    total_mib: int


def capacity_here() -> Capacity:
    """Return what this host can give now."""
    memory = psutil.virtual_memory()
    cores = len(os.sched_getaffinity(0))
    return Capacity(cores, memory.available // _MIB, memory.total // _MIB)


def need(memory_mib: int) -> int:
    """Return how much memory of the host, in MiB, a machine of *memory_mib* takes."""
    return memory_mib + _OVERHEAD_MIB


def refusal(memory_mib: int, booting: Mapping[str, int], capacity: Capacity) -> str:
    """
    Say why a machine of *memory_mib* may not boot yet; nothing when it may.

    *booting* holds the memory of those that boot now, by name: what they will take isn't taken yet.
    """
    names = ", ".join(sorted(booting))
    if len(booting) >= max(1, capacity.cores):
        return f"{names} boot first: one at a time per core"
    free = capacity.available_mib - _RESERVE_MIB - sum(map(need, booting.values()))
    if need(memory_mib) > free:
        return f"it needs {need(memory_mib)} MiB of memory, {max(0, free)} MiB are free"
    return ""


@dataclass
class Gate:
    """Lets the machines of one lab boot as the host can carry them."""

    capacity: Callable[[], Capacity] = capacity_here
    _booting: dict[str, int] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @contextlib.contextmanager
    def admitted(
        self, name: str, memory_mib: int, *, within: float, saw: Callable[[str], None]
    ) -> Iterator[None]:
        """
        Hold a place to boot in.

        :raises PreflightFailed: the host hasn't the memory, and nobody who boots could set it free.
        """
        with self._changed:
            self._wait(name, memory_mib, within, saw)
            self._booting[name] = memory_mib
        try:
            yield
        finally:
            with self._changed:
                del self._booting[name]
                self._changed.notify_all()

    def _wait(self, name: str, memory_mib: int, within: float, saw: Callable[[str], None]) -> None:
        while why := refusal(memory_mib, self._booting, self.capacity()):
            if not self._booting or not self._changed.wait_for(
                lambda: not refusal(memory_mib, self._booting, self.capacity()), within
            ):
                hint = "end something else, or take `memory` of the device down in the topology"
                raise PreflightFailed(f"{name} can't boot: {why}", element=name, hint=hint)
            saw(why)
