"""
Runs a program while the kernel knows how to run another architecture's programs, by qemu-user.

    unshare --mount --propagation private python -m lab.images.cloud.emulation ARCH PROGRAM…

The registration is the whole kernel's, so it has a name of ours and is taken back afterwards; what
the host has registered itself stays, and serves. Two at once wait for each other: the first to end
would take it from the second. So what one finds of ours is of one that was killed, and goes.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fleet.scores.linux.architecture import Arch
from lab.system import locks

_TABLE = Path("/proc/sys/fs/binfmt_misc")
_OURS = "fleet-qemu-"
_TAKE_BACK = "-1"
# The beginning of an ELF program for each machine, and which bits of it count: as QEMU's own
# scripts/qemu-binfmt-conf.sh has them.
_MAGIC = {
    Arch.AARCH64: rb"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00",
    Arch.X86_64: rb"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00",
}
_MASK = rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"


@contextmanager
def emulated(arch: Arch) -> Iterator[None]:
    """Let the kernel run programs of *arch*, for as long as the block takes."""
    if not (_TABLE / "status").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(_TABLE)], check=True)
    with locks.of_file(_TABLE / "status"):  # the same file wherever the table is mounted
        for left in _TABLE.glob(f"{_OURS}*"):
            left.write_text(_TAKE_BACK)
        if (_TABLE / f"qemu-{arch}").exists():
            yield
            return
        entry = _TABLE / f"{_OURS}{arch}"
        (_TABLE / "register").write_bytes(_line(arch, entry.name))
        try:
            yield
        finally:
            entry.write_text(_TAKE_BACK)


def _line(arch: Arch, name: str) -> bytes:
    """Describe how to run programs of *arch*: F opens ours now, so that any root finds it."""
    program = os.fsencode(shutil.which(f"qemu-{arch}-static") or f"qemu-{arch}-static")
    return b":".join((b"", name.encode(), b"M", b"", _MAGIC[arch], _MASK, program, b"F"))


def main(arguments: Sequence[str]) -> int:
    """Run the program, and return its exit status."""
    with emulated(Arch(arguments[0])):
        return subprocess.run(arguments[1:], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
