"""Files of a lab: written atomically, with their mode, only when their content differs."""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from fleet.scores.score import Score
from lab.host.lab_host import LabHost


@dataclass(frozen=True)
class FileScore(Score[LabHost]):
    """*path* holds *content*, with *mode*. A secret has 0o600 from its first byte on."""

    path: Path
    content: str = field(repr=False)
    mode: int = 0o644

    @property
    def name(self) -> str:
        return f"file {self.path.name}"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        del topology
        try:
            found = self.path.read_text()
            mode = self.path.stat().st_mode & 0o777
        except FileNotFoundError:
            return (f"{self.path} is missing",)
        if found != self.content:
            return (f"{self.path} has another content",)
        return () if mode == self.mode else (f"{self.path} has mode {mode:o}",)

    def bring_about(self, topology: LabHost) -> None:
        del topology
        write(self.path, self.content, self.mode)


def write(path: Path, content: str, mode: int = 0o644) -> None:
    """Replace *path* by *content*: readers see the old or the new, never a half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(fd, "w") as file:
        os.fchmod(fd, mode)
        file.write(content)
        file.flush()
        os.fsync(fd)
    draft.replace(path)


def digest(*parts: str | bytes) -> str:
    """Return a short digest of *parts*, for a process' `config_digest`."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "big") + data)
    return whole.hexdigest()[:16]
