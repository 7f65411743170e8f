"""
Leases of devices: each is one process' at a time, whichever run it belongs to.

A lease is a lock (`lab.system.locks`): it ends with its holder, however that ends, so nothing has
to be reclaimed. What its file says is for people: who holds it, since when.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import LabBusy
from lab.system import locks

_EVERY = 0.1


@dataclass(frozen=True, slots=True)
class Holder:
    """Who takes leases: a worker, for a test."""

    worker: str
    test: str

    def as_dict(self) -> dict[str, Any]:
        """Return what the file of a lease says, beside the pid."""
        return {"worker": self.worker, "test": self.test, "since": time.time()}


@dataclass(frozen=True, slots=True)
class Leases:
    """The leases of one lab's devices, each a file in *directory*."""

    directory: Path

    @contextlib.contextmanager
    def hold(
        self,
        devices: Sequence[str],
        holder: Holder,
        *,
        within: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Iterator[str]:
        """
        Hold the first of *devices* that is free, or becomes so in time, and yield its id.

        :raises LabBusy: none became free; it says who holds them.
        """
        deadline = clock() + within
        while (taken := self._take_any(devices, holder)) is None:
            if clock() >= deadline:
                raise self._busy(devices, within)
            sleep(_EVERY)
        device, lease = taken
        with lease:
            yield device

    def holder(self, device: str) -> str:
        """Say in words who holds *device*, by what its file says."""
        told = locks.holder(self.directory / device)
        try:
            seconds = time.time() - told["since"]
            worker, test, pid = told["worker"], told["test"], told["pid"]
        except (KeyError, TypeError):
            return f"{device} is held by somebody who hasn't said who"
        return f"{device} is held by {worker} (pid {pid}) for {test}, {seconds:.0f} s now"

    def _take_any(
        self, devices: Sequence[str], holder: Holder
    ) -> tuple[str, contextlib.ExitStack] | None:
        for device in devices:
            if (lease := locks.take(self.directory / device, holder.as_dict())) is not None:
                return device, lease
        return None

    def _busy(self, devices: Sequence[str], within: float) -> LabBusy:
        held = "; ".join(map(self.holder, devices))
        hint = "use fewer workers (-n), or a topology of more devices"
        return LabBusy(f"no device became free within {within:g} s: {held}", hint=hint)
