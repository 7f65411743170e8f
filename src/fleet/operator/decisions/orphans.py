"""
Which orphans may go, decided from how long and how many they are.

An orphan is a key that nobody is known to have ended: a desired value whose owner
is no resource, bytes that don't decode, a state without a value that nobody claims.
It may only look like one: etcd was wiped, the kubeconfig is another cluster's,
the resource is about to be applied again. So it is removed only where it was
one in two complete resyncs, an interval apart, and only together with a few.
Otherwise everything is held until an administrator says the word, which names
the very set that it allows.

There may be a hundred thousand: whoever decides is handed one at a time.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
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
    """What may go, and what waits for the `Word`; *why* says it to an administrator."""

    removed: Sequence[Orphan] = ()
    held: Sequence[Orphan] = ()
    why: str = ""


@dataclass(slots=True)
class Ripe:
    """Orphans that were ones for long enough, in order; *free*: those that nobody reclaims."""

    all: list[Orphan] = field(default_factory=list)
    free: list[Orphan] = field(default_factory=list)
    reclaimable: list[Orphan] = field(default_factory=list)

    def add(self, orphan: Orphan) -> None:
        """Take one more."""
        self.all.append(orphan)
        (self.reclaimable if orphan.reclaimable else self.free).append(orphan)


class Suspects:
    """Since when each orphan has been one, without a break. *interval* is in seconds."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._since: dict[Orphan, float] = {}
        self._found: dict[Orphan, float] = {}
        self._now = 0.0

    def begin(self, now: float) -> None:
        """Begin to look at what a complete resync found."""
        self._now, self._found = now, {}

    def is_ripe(self, orphan: Orphan) -> bool:
        """Take note of one that was found; tell whether it was an orphan for long enough."""
        since = self._since.get(orphan)
        self._found[orphan] = self._now if since is None else since
        return since is not None and self._now - since >= self._interval

    def end(self) -> None:
        """Forget what was not found this time."""
        self._since, self._found = self._found, {}


class Word:
    """Names a set, told in order: another set, or another value at one key, has another name."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, orphan: Orphan) -> None:
        """Take one more."""
        self._digest.update(f"{kv.desired_state_key(*orphan.pair)}@{orphan.revision}\n".encode())

    def __str__(self) -> str:
        return self._digest.hexdigest()[:WORD_LENGTH]


def judge(ripe: Ripe, fleet: Fleet) -> Verdict:
    """Decide about orphans that were ones for long enough, and of which nobody said anything."""
    why = _objection(len(ripe.free), fleet)
    held = ripe.all if why else ripe.reclaimable
    return Verdict(
        removed=() if why else ripe.free,
        held=held,
        why=why or ("their deployments were made again, and want other devices" if held else ""),
    )


def allowed(ripe: Ripe) -> Verdict:
    """Decide about them once an administrator said the word for those that were held."""
    return Verdict(removed=ripe.all)


def limit(desired: int) -> int:
    """Compute how many may go in one pass."""
    return max(MOST_AT_ONCE, desired * SHARE_AT_ONCE // 100)


def _objection(count: int, fleet: Fleet) -> str:
    if not count:
        return ""
    if not fleet.deployments:
        return "the API server has no deployment at all"
    most = limit(fleet.desired)
    return f"no more than {most} may go at once" if count > most else ""
