"""
What an agent is installed from: one archive, for one architecture and one Python.

It holds the packages as they lie on a device: ``fleet`` itself, and what it needs. Each version has
a folder of its own below `HOME`, and a link names the one that runs, so that an upgrade is a new
folder and one rename.
"""

from pathlib import Path, PurePosixPath

import msgspec

from fleet.scores.linux.architecture import Arch

HOME = PurePosixPath("/opt/fleet-agent")
CURRENT = HOME / "current"
LAUNCHER = PurePosixPath("/usr/local/bin/fleet-agent")


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """
    An archive (tar, gzip) with the packages of an agent.

    *python* is the minor version that its compiled packages are for; *digest* the SHA-256 of the
    archive; *compiled* says that the byte code for that Python is in it.
    """

    path: Path
    version: str
    digest: str
    arch: Arch
    python: str
    compiled: bool = True

    @property
    def folder(self) -> PurePosixPath:
        """Return where this version lies on a device."""
        return HOME / self.version
