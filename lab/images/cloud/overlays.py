"""
The disks of all labs, by the image that each stands on.

A disk of a lab is an overlay: without its image, or over another one, it is nothing. So every qcow2
file of every lab is asked what it stands on, snapshots included.
"""

import json
from pathlib import Path

from lab.errors import LabError
from lab.host import lab_host
from lab.system import commands, trees


def overlays() -> dict[Path, tuple[Path, ...]]:
    """Return the disks of all labs by the image that they stand on."""
    found: dict[Path, tuple[Path, ...]] = {}
    disks = (path for path in trees.files(lab_host.labs_dir()) if path.suffix == ".qcow2")
    for disk in sorted(disks):
        if (base := _base(disk)) is not None:
            found[base] = (*found.get(base, ()), disk)
    return found


def standing_on(image: Path) -> str:
    """Name the disks that stand on the disk *image*; nothing where none does."""
    return ", ".join(map(str, overlays().get(image, ())))


def _base(disk: Path) -> Path | None:
    answer = commands.ask("qemu-img", "info", "--force-share", "--output=json", str(disk))
    if not answer.ok and not disk.exists():  # its lab was taken down meanwhile
        return None
    if not answer.ok:
        message = f"{disk}: nobody knows what it stands on: {answer.err.strip()}"
        raise LabError(message, element=str(disk), hint="take its lab down, or remove the file")
    found = json.loads(answer.out).get("full-backing-filename")
    return Path(found) if found else None
