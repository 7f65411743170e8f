"""Disks of virtual machines: qcow2 files, most of them overlays on a base that nobody writes to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet import errors
from fleet.scores.capabilities import RunsCommands
from fleet.scores.linux.machine import Machine, failed, run
from fleet.scores.score import Score

FORMAT = "qcow2"


@dataclass(frozen=True)
class VolumeScore(Score[RunsCommands]):
    """
    A disk at *path*, an overlay on *base* where one is given, of at least *size* bytes.

    It grows, and never shrinks; one that stands on another base is refused: what was written to
    it would make no sense on this one.
    """

    path: Path
    base: Path | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        if self.base is None and self.size is None:
            raise errors.InvalidConfig(
                f"disk {self.path}: without a base it needs a size", element=str(self.path)
            )

    @property
    def name(self) -> str:
        return f"disk {self.path.name}"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        found = self._find(topology.machine)
        if found is None:
            return (f"{self.path} is missing",)
        has = int(found["virtual-size"])
        if self.size is not None and has < self.size:
            return (f"{self.path} has {has} bytes, not {self.size}",)
        return ()

    def bring_about(self, topology: RunsCommands) -> None:
        machine = topology.machine
        if self._find(machine) is None:
            self._make(machine)
        elif self.differences(topology):
            run(machine, "qemu-img", "resize", "-q", "-f", FORMAT, str(self.path), str(self.size))

    def _make(self, machine: Machine) -> None:
        """Make it beside its place, so that half a disk never has its name."""
        draft = self.path.with_name(f".{self.path.name}.new")
        over = ("-F", FORMAT, "-b", str(self.base)) if self.base is not None else ()
        size = (str(self.size),) if self.size is not None else ()
        run(machine, "mkdir", "-p", "--", str(self.path.parent))
        run(machine, "qemu-img", "create", "-q", "-f", FORMAT, *over, str(draft), *size)
        run(machine, "mv", "-T", "--", str(draft), str(self.path))

    def _find(self, machine: Machine) -> Mapping[str, Any] | None:
        found = _described(machine, self.path)
        if found is None:
            return None
        stands_on = found.get("full-backing-filename")
        wanted = str(self.base) if self.base is not None else None
        if found["format"] != FORMAT or stands_on != wanted:
            raise errors.NotOurs(
                f"{self.path} is a {found['format']} disk on {stands_on or 'nothing'}, not a"
                f" {FORMAT} disk on {wanted or 'nothing'}: move it away first",
                element=str(self.path),
            )
        return found


def _described(machine: Machine, path: Path) -> Mapping[str, Any] | None:
    """Return what `qemu-img` says of a disk, also while a machine uses it; None without one."""
    if not machine.ask("test", "-e", str(path)).ok:
        return None
    argv = ("qemu-img", "info", "--output=json", "--force-share", str(path))
    answer = machine.ask(*argv)
    if not answer.ok:
        raise failed(machine, argv, answer)
    return dict(json.loads(answer.text))
