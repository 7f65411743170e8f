"""
Leases of devices: each is one process' at a time, whichever run it belongs to.

A lease is a lock of the kernel's on the device's file: it ends with its holder, however that ends,
so nothing has to be reclaimed. What the file says is for people: who holds it, since when.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import LabBusy
from lab.system import procfs
from lab.system.procfs import Identity

_EVERY = 0.1


@dataclass(frozen=True, slots=True)
class Holder:
    """Who takes leases: a worker, for a test."""

    worker: str
    test: str

    def as_dict(self) -> dict[str, Any]:
        """Return what the file of a lease says; the start tells processes of one pid apart."""
        own = procfs.identify(os.getpid())
        start = own.start if own else 0
        return {
            "pid": os.getpid(), "start": start, "boot": procfs.boot_id(), "worker": self.worker,
            "test": self.test, "since": time.time(),
        }  # fmt: skip


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
        while (taken := self._take_any(devices)) is None:
            if clock() >= deadline:
                raise self._busy(devices, within)
            sleep(_EVERY)
        device, fd = taken
        try:
            _say(fd, json.dumps(holder.as_dict()))
            yield device
        finally:
            _say(fd, "")
            os.close(fd)

    def holder(self, device: str) -> str:
        """Say in words who holds *device*, by what its file says."""
        try:
            told = json.loads((self.directory / f"{device}.lease").read_text())
            who = Identity(told["pid"], told["start"], told["boot"])
            gone = "" if procfs.is_alive(who) else ", which is gone: a child of it holds on"
            seconds = time.time() - told["since"]
            worker, test = told["worker"], told["test"]
        except (OSError, ValueError, KeyError, TypeError):
            return f"{device} is held by somebody who hasn't said who"
        return f"{device} is held by {worker} (pid {who.pid}{gone}) for {test}, {seconds:.0f} s now"

    def _take_any(self, devices: Sequence[str]) -> tuple[str, int] | None:
        self.directory.mkdir(parents=True, exist_ok=True)
        for device in devices:
            if (fd := _try_lock(self.directory / f"{device}.lease")) is not None:
                return device, fd
        return None

    def _busy(self, devices: Sequence[str], within: float) -> LabBusy:
        held = "; ".join(map(self.holder, devices))
        hint = "use fewer workers (-n), or a topology of more devices"
        return LabBusy(f"no device became free within {within:g} s: {held}", hint=hint)


def _try_lock(path: Path) -> int | None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _say(fd: int, text: str) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, text.encode(), 0)
