"""The processor architectures that devices have, by the names that `uname -m` gives them."""

import enum


class Arch(enum.StrEnum):
    """A processor architecture, as the kernel names it."""

    X86_64 = "x86_64"
    AARCH64 = "aarch64"

    @property
    def debian(self) -> str:
        """Return Debian's name for it."""
        return {Arch.X86_64: "amd64", Arch.AARCH64: "arm64"}[self]
