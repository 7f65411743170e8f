"""
Removes orphans, a few at a time; asks for an administrator's word where they are many.

It looks after each complete resync, and only allows: `desired_state` marks what
is an orphan still, over the very revision that was seen. All of it in time slices.
"""

import heapq
from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter
from typing import Final

import structlog

from fleet import errors
from fleet.bus.port import Deleted
from fleet.contracts import kv, resources
from fleet.operator.decisions import events, orphans
from fleet.operator.decisions.orphans import Fleet, Orphan, Ripe, Suspects, Verdict
from fleet.operator.model.matching.index import Pair
from fleet.operator.model.store import Store
from fleet.operator.ports import Cluster, Counter
from fleet.operator.time_slice import TimeSlice
from fleet.operator.writers.event_recorder import EventRecorder

log = structlog.get_logger()
SHOWN: Final = 5
# Sorted, and handed on, at once: a fraction of a slice.
PORTION: Final = 500
_IN_ORDER: Final = attrgetter("pair")


class OrphanRemover:
    """Keeps what is known about the orphans that *find* lists. *changed*: the store was touched."""

    def __init__(
        self,
        store: Store,
        find: Callable[[], Awaitable[Sequence[Orphan]]],
        cluster: Cluster,
        recorder: EventRecorder,
        *,
        counter: Counter,
        suspects: Suspects,
        now: Callable[[], float],
        changed: Callable[[], None],
        time_slice: TimeSlice | None = None,
    ) -> None:
        self._store = store
        self._find = find
        self._cluster = cluster
        self._recorder = recorder
        self._counter = counter
        self._suspects = suspects
        self._now = now
        self._changed = changed
        self._slice = time_slice or TimeSlice()
        self._told: dict[str, str] = {}  # by reason of the Event, which set it spoke of

    async def look(self) -> None:
        """Look at all orphans, after everything was listed."""
        found = await self._sorted(await self._find())
        removable, ripe = await self._ripe(found)
        verdict, word = await self._judged(ripe)
        self._counter.orphans_held(len(verdict.held))
        await self._tell("OrphansFound", found, "nobody is known to have ended them")
        await self._tell("OrphansHeld", verdict.held, _request(verdict, word))
        await self._tell("OrphansRemoved", verdict.removed, "they go now")
        await self._allow([*removable, *verdict.removed])

    async def forbid(self) -> None:
        """Let none go."""
        await self._allow(())

    async def _ripe(self, found: Sequence[Orphan]) -> tuple[list[Orphan], Ripe]:
        """Tell apart what may go already, and what was an orphan for long enough to be judged."""
        removable, ripe = [], Ripe()
        self._suspects.begin(self._now())
        async for orphan in self._slice.over(found):
            is_ripe = self._suspects.is_ripe(orphan)
            if self._store.removable.get(orphan.pair) == orphan.revision:
                removable.append(orphan)
            elif is_ripe:
                ripe.add(orphan)
        self._suspects.end()
        return removable, ripe

    async def _judged(self, ripe: Ripe) -> tuple[Verdict, str]:
        """Judge; give the word for what is held, too."""
        desired = await self._count_desired() if ripe.all else 0
        verdict = orphans.judge(ripe, Fleet(len(self._store.deployments), desired))
        word = await self._word(verdict.held)
        if word and await self._said() == word:
            return orphans.allowed(ripe), ""
        return verdict, word

    async def _count_desired(self) -> int:
        count = 0
        async for entry in self._slice.over(tuple(self._store.desired.values())):
            count += not isinstance(entry, Deleted)
        return count

    async def _allow(self, removable: Sequence[Orphan]) -> None:
        """Have these go, and no others."""
        allowed: dict[Pair, int] = {}
        async for orphan in self._slice.over(removable):
            allowed[orphan.pair] = orphan.revision
        async for number, pair in self._slice.over(enumerate(tuple(self._store.removable), 1)):
            if pair not in allowed:
                self._store.forbid_removal(pair)
            self._hand_on(number)
        async for number, (pair, revision) in self._slice.over(enumerate(allowed.items(), 1)):
            self._store.allow_removal(pair, revision)
            self._hand_on(number)
        self._changed()

    def _hand_on(self, number: int) -> None:
        if number % PORTION == 0:
            self._changed()

    async def _said(self) -> str:
        try:
            return await self._cluster.word_to_remove_orphans()
        except errors.FleetError as exc:
            log.warning("word not read", reason=exc.reason, error=str(exc))
            return ""

    async def _tell(self, reason: str, found: Sequence[Orphan], text: str) -> None:
        """Say once what becomes of a set."""
        named = await self._word(found)
        if named == self._told.get(reason, ""):
            return
        self._told[reason] = named
        if found:
            log.warning("orphans told", reason=reason, count=len(found), text=text)
            self._recorder.post(events.of_orphans(reason, f"{_listed(found)}: {text}"))

    async def _word(self, found: Sequence[Orphan]) -> str:
        """Name a set; an empty one has no name."""
        word = orphans.Word()
        async for orphan in self._slice.over(found):
            word.add(orphan)
        return str(word) if found else ""

    async def _sorted(self, found: Sequence[Orphan]) -> list[Orphan]:
        parts = [
            sorted(found[start : start + PORTION], key=_IN_ORDER)
            async for start in self._slice.over(range(0, len(found), PORTION))
        ]
        return [each async for each in self._slice.over(heapq.merge(*parts, key=_IN_ORDER))]


def _request(verdict: Verdict, word: str) -> str:
    command = (
        f"kubectl annotate --overwrite namespace {resources.NAMESPACE}"
        f" {resources.REMOVE_ORPHANS}={word}"
    )
    return f"kept, since {verdict.why}. To remove exactly these: {command}"


def _listed(found: Sequence[Orphan]) -> str:
    keys = ", ".join(kv.desired_state_key(*orphan.pair) for orphan in found[:SHOWN])
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    noun = "orphan" if len(found) == 1 else "orphans"
    return f"{len(found)} {noun}, {keys}{more}"
