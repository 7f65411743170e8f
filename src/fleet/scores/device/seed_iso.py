"""
Writes a seed as the disk that cloud-init looks for: ISO 9660 with the label ``cidata``.

The volume carries the digest of what is in it, so that a seed that is as wanted isn't written
again. It may hold secrets, and is never readable by others.
"""

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from fleet.scores.device.seeds import VOLUME, Seed

_SECRET = 0o600
_LEVEL = 3  # of ISO 9660: files as large as an archive


def ensure_seed(path: Path, seed: Seed) -> bool:
    """Make *path* the disk of *seed*, and tell whether that changed anything."""
    digest = _digest(seed.contents())
    if _digest_in(path) == digest:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    closed = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, _SECRET)
    with os.fdopen(closed, "w+b") as file:
        _write(file, seed.contents(), digest)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return True


def _write(target: BinaryIO, contents: Mapping[str, bytes | Path], digest: str) -> None:
    iso = pycdlib.PyCdlib()
    iso.new(
        interchange_level=_LEVEL,
        vol_ident=VOLUME,
        vol_set_ident=digest,
        joliet=3,
        rock_ridge="1.09",
    )
    with contextlib.ExitStack() as opened:
        opened.callback(iso.close)
        for number, (called, content) in enumerate(contents.items()):
            file, length = opened.enter_context(_opened(content))
            iso.add_fp(
                file,
                length,
                f"/F{number:03}.;1",
                rr_name=called,
                joliet_path=f"/{called}",
                file_mode=0o100400,
            )
        iso.write_fp(target)


@contextlib.contextmanager
def _opened(content: bytes | Path) -> Iterator[tuple[BinaryIO, int]]:
    if isinstance(content, bytes):
        yield io.BytesIO(content), len(content)
        return
    with content.open("rb") as file:
        yield file, content.stat().st_size


def _digest(contents: Mapping[str, bytes | Path]) -> str:
    """Compute the digest of names and contents, in the letters that a volume's name may have."""
    whole = hashlib.sha256()
    for name, content in sorted(contents.items()):
        data = content if isinstance(content, bytes) else content.read_bytes()
        whole.update(f"{name}\0{len(data)}\0".encode() + data)
    return whole.hexdigest().upper()


def _digest_in(path: Path) -> str:
    """Read the digest of what is in the disk *path*; nothing where it is none of ours."""
    iso = pycdlib.PyCdlib()
    try:
        iso.open(str(path))
    except (OSError, PyCdlibException):
        return ""
    with contextlib.closing(iso):
        return bytes(iso.pvd.volume_set_identifier).decode(errors="replace").strip()
