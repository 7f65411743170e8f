"""
Removes orphans, a few at a time; asks for an administrator's word where they are many.

It looks after each complete resync, and only allows: `desired_state` marks what
is an orphan still, over the very revision that was seen.
"""

from collections.abc import Callable
from typing import Final

import structlog

from fleet import errors
from fleet.bus.port import Deleted
from fleet.contracts import kv, resources
from fleet.operator.decisions import events, orphans
from fleet.operator.decisions.orphans import Fleet, Orphan, Suspects, Verdict
from fleet.operator.model.store import Store
from fleet.operator.ports import Cluster, Counter
from fleet.operator.writers.event_recorder import EventRecorder

log = structlog.get_logger()
SHOWN: Final = 5


class OrphanRemover:
    """Keeps what is known about the orphans that *find* lists."""

    def __init__(
        self,
        store: Store,
        find: Callable[[], tuple[Orphan, ...]],
        cluster: Cluster,
        recorder: EventRecorder,
        *,
        counter: Counter,
        suspects: Suspects,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._find = find
        self._cluster = cluster
        self._recorder = recorder
        self._counter = counter
        self._suspects = suspects
        self._now = now
        self._told: dict[str, str] = {}  # by reason of the Event, which set it spoke of

    async def look(self) -> None:
        """Look at all orphans, after everything was listed."""
        found = self._find()
        removable = {o for o in found if self._store.removable.get(o.pair) == o.revision}
        ripe = tuple(o for o in self._suspects.look(found, self._now()) if o not in removable)
        verdict = orphans.judge(ripe, self._fleet())
        if verdict.held:
            verdict = orphans.judge(ripe, self._fleet(), said=await self._said())
        self._counter.orphans_held(len(verdict.held))
        self._tell("OrphansFound", found, "nobody is known to have ended them")
        self._tell("OrphansHeld", verdict.held, _request(verdict))
        self._tell("OrphansRemoved", verdict.removed, "they go now")
        self._allow({*removable, *verdict.removed})

    def _fleet(self) -> Fleet:
        entries = self._store.desired.values()
        desired = sum(not isinstance(entry, Deleted) for entry in entries)
        return Fleet(deployments=len(self._store.deployments), desired=desired)

    def _allow(self, removable: set[Orphan]) -> None:
        self._store.allow_removal({orphan.pair: orphan.revision for orphan in removable})

    async def _said(self) -> str:
        try:
            return await self._cluster.word_to_remove_orphans()
        except errors.FleetError as exc:
            log.warning("word not read", reason=exc.reason, error=str(exc))
            return ""

    def _tell(self, reason: str, found: tuple[Orphan, ...], text: str) -> None:
        """Say once what becomes of a set."""
        named = orphans.word(found) if found else ""
        if named == self._told.get(reason, ""):
            return
        self._told[reason] = named
        if found:
            log.warning("orphans told", reason=reason, count=len(found), text=text)
            self._recorder.post(events.of_orphans(reason, f"{_listed(found)}: {text}"))


def _request(verdict: Verdict) -> str:
    command = (
        f"kubectl annotate --overwrite namespace {resources.NAMESPACE}"
        f" {resources.REMOVE_ORPHANS}={verdict.word}"
    )
    return f"kept, since {verdict.why}. To remove exactly these: {command}"


def _listed(found: tuple[Orphan, ...]) -> str:
    keys = ", ".join(kv.desired_state_key(*orphan.pair) for orphan in found[:SHOWN])
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    noun = "orphan" if len(found) == 1 else "orphans"
    return f"{len(found)} {noun}, {keys}{more}"
