"""
What becomes of the lab when the run ends. Decides only.

| was up before | keep       | something failed | the lab      |
|---------------|------------|------------------|--------------|
| yes           | any        | any              | is left up   |
| no            | never      | any              | is taken down|
| no            | on-failure | no               | is taken down|
| no            | on-failure | yes              | is left up   |
| no            | always     | any              | is left up   |

What little a host has that can't carry a lab is taken down, whatever was asked.
"""

import enum
from typing import assert_never

from lab.plugin.settings import Keep


class Fate(enum.StrEnum):
    """What becomes of a lab."""

    LEFT_UP = "left up"
    TAKEN_DOWN = "taken down"
    NEVER_UP = "never up"
    """the run didn't get as far as to bring it up"""


def fate(keep: Keep, *, failed: bool, was_up: bool, is_unfit: bool = False) -> Fate:
    """Return what becomes of the lab: one that was up before the run is never taken down."""
    if was_up:
        return Fate.LEFT_UP
    if is_unfit:
        return Fate.TAKEN_DOWN
    match keep:
        case Keep.NEVER:
            return Fate.TAKEN_DOWN
        case Keep.ON_FAILURE:
            return Fate.LEFT_UP if failed else Fate.TAKEN_DOWN
        case Keep.ALWAYS:
            return Fate.LEFT_UP
        case _:
            assert_never(keep)
