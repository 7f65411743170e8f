"""Brings the toolchain about: builds what is missing, one part at a time, and keeps each."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lab.toolchain import parts
from lab.toolchain.builders import Builder
from lab.toolchain.parts import Part
from lab.toolchain.progress import Say, elapsed
from lab.toolchain.store import Store


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The parts as pinned under *root*, and where they are kept."""

    root: Path
    store: Store
    parts: Sequence[Part] = parts.PARTS

    @property
    def key(self) -> str:
        """The name of the whole: the keys of its parts, and thereby all pins."""
        keys = (self.part_key(part).encode() for part in self.parts)
        return parts.key("toolchain", os.uname().machine, keys)

    @property
    def bin(self) -> Path:
        """Where the programs lie, once `ensure` is through."""
        return self.store.bin(self.key)

    def part_key(self, part: Part) -> str:
        pins = ((self.root / pin).read_bytes() for pin in part.source.pins)
        return parts.key(part.name, os.uname().machine, pins)

    def is_ready(self) -> bool:
        return self.store.holds(self.key)

    def ensure(self, builder: Builder, say: Say) -> Path:
        """Build what is missing. A part that was built stays, also when a later one fails."""
        if not self.is_ready():
            with self.store.locked(say):
                self._build(builder, say)
        return self.bin

    def _build(self, builder: Builder, say: Say) -> None:
        missing = [part for part in self.parts if not self.store.holds(self.part_key(part))]
        if missing:
            total = parts.expectation(sum(p.cpu_minutes for p in missing), os.cpu_count() or 1)
            say(f"building {', '.join(part.name for part in missing)}{total}")
        for part in missing:
            begin = time.monotonic()
            self.store.keep(self.part_key(part), partial(builder.build, part))
            say(f"{part.name}: ready after {elapsed(time.monotonic() - begin)}")
        if not self.is_ready():
            self.store.keep(self.key, self._assemble)

    def _assemble(self, directory: Path) -> None:
        for part in self.parts:
            self.store.link(self.part_key(part), directory)
