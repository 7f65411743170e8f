"""An object that is being deleted, as the evidence that what it asked for has ended."""

from typing import NamedTuple


class Ending(NamedTuple):
    """The *plural* names its definition."""

    plural: str
    uid: str
