"""
Fleet's storage pool on a hypervisor: a directory that libvirt knows by name.

Its name is ``harmony-fleet``, or what ``$HARMONY_FLEET_POOL_NAME`` says. libvirt keeps no metadata
of pools; ours is known by its id, which is derived from its name and its directory.
"""

import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fleet import directories, errors
from fleet.scores.kvm.elements import element, text_of
from fleet.scores.kvm.networks import identity

NAME = "harmony-fleet"
NAME_VARIABLE = "HARMONY_FLEET_POOL_NAME"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class HarmonyFleetPool:
    """The pool, as it is wanted. *path* is a directory of the hypervisor."""

    path: Path
    name: str = NAME

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise errors.InvalidConfig(
                f"{self.name!r} can't name a pool ({NAME_VARIABLE}): 1 to 63 letters, digits, and"
                " . _ - after the first",
                element=self.name,
            )
        if not self.path.is_absolute():
            raise errors.InvalidConfig(
                f"the directory of pool {self.name} must be absolute, not {self.path}",
                element=str(self.path),
            )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Take the pool of this machine, below the data directory, under the name wanted there."""
        name = environ.get(NAME_VARIABLE) or NAME
        return cls(directories.cache_dir(environ) / "pools" / Path(name).name, name)

    @property
    def uuid(self) -> uuid.UUID:
        """Return its id, by which it is known again."""
        return identity("pool", self.name, str(self.path))


def xml(pool: HarmonyFleetPool) -> str:
    """Write *pool* as libvirt reads it."""
    root = element(
        "pool",
        {"type": "dir"},
        element("name", text=pool.name),
        element("uuid", text=str(pool.uuid)),
        element("target", None, element("path", text=str(pool.path))),
    )
    return text_of(root)
