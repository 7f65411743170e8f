"""Find out what this device is made of."""

import os
import platform
import shutil
from pathlib import Path

from fleet.contracts import messages

_OS_RELEASE = Path("/etc/os-release")
_UNKNOWN = "unknown"


def read(*, disk: Path = Path("/")) -> messages.Inventory:
    """Read all but the runtimes, which answer for themselves."""
    return messages.Inventory(
        hostname=platform.node(),
        arch=platform.machine(),
        os=read_os(_OS_RELEASE),
        kernel=platform.release(),
        cpus=os.cpu_count() or 0,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        disk_bytes=shutil.disk_usage(disk).total,
    )


def read_os(path: Path) -> str:
    """Read the system's name for people, such as ``Debian GNU/Linux 12 (bookworm)``."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return _UNKNOWN
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    name = fields.get("PRETTY_NAME") or fields.get("NAME") or _UNKNOWN
    return name.strip().strip("\"'")
