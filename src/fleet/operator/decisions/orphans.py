"""
Which orphans may go, decided from how long and how many they are.

An orphan is a key that nobody is known to have ended: a desired value whose owner
is no resource, bytes that don't decode, a state without a value that nobody claims.
It may only look like one: etcd was wiped, the kubeconfig is another cluster's,
the resource is about to be applied again. So it is removed only where it was
one in two complete resyncs, an interval apart, and only together with a few.
Otherwise everything is held until an administrator says the word, which names
the very set that it allows.
"""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from fleet.contracts import kv
from fleet.operator.model.matching.index import Pair

INTERVAL: Final = timedelta(minutes=10)
MOST_AT_ONCE: Final = 5
SHARE_AT_ONCE: Final = 10  # percent of all desired keys
WORD_LENGTH: Final = 16


@dataclass(frozen=True, slots=True, order=True)
class Orphan:
    """
    One key, as it stands at *revision* (0: a state without a desired value).

    *reclaimable*: the resource was made again, and may yet be changed to want it.
    """

    pair: Pair
    revision: int
    owner_uid: str = ""
    reclaimable: bool = False


@dataclass(frozen=True, slots=True)
class Fleet:
    """How much there is: deployments in the API server, values in `desired-state`."""

    deployments: int
    desired: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may go, and what waits for the *word*; *why* says it to an administrator."""

    removed: tuple[Orphan, ...] = ()
    held: tuple[Orphan, ...] = ()
    why: str = ""

    @property
    def word(self) -> str:
        """The word that allows to remove what is held; empty when nothing is."""
        return word(self.held) if self.held else ""


class Suspects:
    """Since when each orphan has been one, without a break. *interval* is in seconds."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._since: dict[Orphan, float] = {}

    def look(self, found: Collection[Orphan], now: float) -> tuple[Orphan, ...]:
        """Take note of what a complete resync found, and list what was long enough an orphan."""
        ripe = [o for o in found if o in self._since and now - self._since[o] >= self._interval]
        self._since = {orphan: self._since.get(orphan, now) for orphan in found}
        return tuple(sorted(ripe))


def judge(ripe: Iterable[Orphan], fleet: Fleet, *, said: str = "") -> Verdict:
    """Decide about orphans that were ones for long enough; *said* is the administrator's word."""
    orphans = tuple(ripe)
    free = tuple(orphan for orphan in orphans if not orphan.reclaimable)
    why = _objection(len(free), fleet)
    held = orphans if why else tuple(orphan for orphan in orphans if orphan.reclaimable)
    if held and said == word(held):
        return Verdict(removed=orphans)
    return Verdict(
        removed=() if why else free,
        held=held,
        why=why or ("their deployments were made again, and want other devices" if held else ""),
    )


def limit(desired: int) -> int:
    """Compute how many may go in one pass."""
    return max(MOST_AT_ONCE, desired * SHARE_AT_ONCE // 100)


def word(orphans: Iterable[Orphan]) -> str:
    """Name a set: another set, or another value at one of its keys, has another name."""
    lines = [f"{kv.desired_state_key(*o.pair)}@{o.revision}\n" for o in sorted(orphans)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:WORD_LENGTH]


def _objection(count: int, fleet: Fleet) -> str:
    if not count:
        return ""
    if not fleet.deployments:
        return "the API server has no deployment at all"
    most = limit(fleet.desired)
    return f"no more than {most} may go at once" if count > most else ""
