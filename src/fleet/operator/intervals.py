"""How long the operator waits before it believes something: parameters, so that tests need not."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from fleet.operator.decisions import orphans
from fleet.operator.model.presence import SILENCE

RESYNC: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Intervals:
    """
    How often, and how long.

    *silence*: without a heartbeat a device is stale. *resync*: everything is listed and
    replayed again. *orphans*: a key was an orphan before it may be removed.
    """

    silence: timedelta = SILENCE
    resync: timedelta = RESYNC
    orphans: timedelta = orphans.INTERVAL
