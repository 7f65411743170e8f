"""
Makes the initrd that finds the root disk: busybox, a few modules, and nothing that waits.

Debian's own probes for what a virtual machine never has, and takes seconds to unpack where the
processor is emulated. This one is about a mebibyte.
"""

import gzip
import lzma
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_DIRECTORY = 0o040755
_PROGRAM = 0o100755
_FILE = 0o100644
# `findfs` looks at every disk for a LABEL= or UUID=, and gives a path back as it is.
INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
{modules}
for word in $(/bin/busybox cat /proc/cmdline); do
    case $word in root=*) wanted=${{word#root=}} ;; esac
done
i=0
until root=$(/bin/busybox findfs "$wanted" 2>/dev/null) && [ -b "$root" ] || [ $i -ge 300 ]; do
    /bin/busybox sleep 0.1; i=$((i+1))
done
/bin/busybox mount -t ext4 -o ro "$root" /root || echo "ALERT! $wanted does not exist"
/bin/busybox umount /sys
/bin/busybox umount /proc
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the archive."""

    name: str
    mode: int
    content: bytes = b""


def make(root: Path, kernel: str, wanted: Iterable[str]) -> bytes:
    """
    Return an initrd for *kernel* (``6.1.0-…``), from the busybox and the modules below *root*.

    *wanted* names modules; those built into the kernel are left out, and what they need goes first.
    """
    modules = tuple(_ordered(root / "lib" / "modules" / kernel, wanted))
    loads = "\n".join(f"/bin/busybox insmod /m/{index}.ko" for index in range(len(modules)))
    init = INIT.format(modules=loads)
    entries = (
        *(Entry(name, _DIRECTORY) for name in ("bin", "dev", "m", "proc", "root", "sys")),
        Entry("bin/busybox", _PROGRAM, (root / "bin" / "busybox").read_bytes()),
        *(Entry(f"m/{index}.ko", _FILE, _plain(path)) for index, path in enumerate(modules)),
        Entry("init", _PROGRAM, init.encode()),
    )
    return gzip.compress(archive(entries), 6, mtime=0)


def archive(entries: Iterable[Entry]) -> bytes:
    """Pack *entries* as the kernel reads them: cpio, of the kind that is called newc."""
    packed = bytearray()
    for number, entry in enumerate((*entries, Entry("TRAILER!!!", 0)), start=1):
        name = entry.name.encode() + b"\0"
        fields = (
            number, entry.mode, 0, 0, 1, 0, len(entry.content), 0, 0, 0, 0, len(name), 0,
        )  # fmt: skip
        packed += b"070701" + b"".join(b"%08X" % field for field in fields) + name
        packed += b"\0" * (-len(packed) % 4)
        packed += entry.content
        packed += b"\0" * (-len(packed) % 4)
    return bytes(packed)


def _ordered(modules: Path, wanted: Iterable[str]) -> Iterator[Path]:
    """Yield the files of *wanted* and of what they need, each after what it needs."""
    needs = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needs[path] = others.split()
    named = {Path(path).name.partition(".")[0].replace("-", "_"): path for path in needs}
    seen: set[str] = set()
    for name in wanted:
        if name not in named:  # built into the kernel
            continue
        for path in (*reversed(needs[named[name]]), named[name]):
            if path not in seen:
                seen.add(path)
                yield modules / path


def _plain(path: Path) -> bytes:
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data
