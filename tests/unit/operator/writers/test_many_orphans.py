"""A look at very many orphans: each step of it handles a bounded number, whatever comes of it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from types import FrameType
from typing import Any

from fleet.bus.memory import MemoryServer
from fleet.contracts import messages
from fleet.operator.clock import WallClock
from fleet.operator.decisions.orphans import Suspects, Word
from fleet.operator.model.store import Store, Touched
from fleet.operator.time_slice import TimeSlice
from fleet.operator.watches.definitions import Definitions
from fleet.operator.writers import orphans
from fleet.operator.writers.desired_state import DesiredStateWriter
from fleet.operator.writers.event_recorder import EventRecorder
from fleet.operator.writers.orphans import PORTION, OrphanRemover
from fleet.operator.writers.withdrawals import Withdrawals
from tests.unit.operator.fakes import FakeClock, FakeCluster, FakeCounter
from tests.unit.operator.making import deployment, marker, pair, put, score

MANY = 5_000
# Of functions in one step. A few orphans are a slice here; all of them, once each, are MANY.
CALLS = MANY * 4 // 5


class Scene:
    """Very many values whose owner is gone. A look at the clock takes a millisecond."""

    def __init__(self) -> None:
        self.now = 0.0
        self.store = Store()
        self.cluster = FakeCluster()
        self.counter = FakeCounter()
        self.portions: list[int] = []
        ticks = count()
        time_slice = TimeSlice(0.003, lambda: next(ticks) / 1000)
        bus = MemoryServer().connect()
        withdrawals = Withdrawals(self._never, lambda _: None, self.counter)
        self.publisher = DesiredStateWriter(
            self.store,
            bus.bucket(messages.DESIRED_STATE),
            FakeClock(),
            self.counter,
            withdrawals=withdrawals,
            definitions_stand=Definitions(self.cluster).stand,
            time_slice=time_slice,
        )
        self.remover = OrphanRemover(
            self.store,
            self.publisher.orphans,
            self.cluster,
            EventRecorder(self.cluster, WallClock(), self.counter),
            counter=self.counter,
            suspects=Suspects(600),
            now=lambda: self.now,
            changed=self._take,
            time_slice=time_slice,
        )
        self.store.put_deployment(deployment("bystander", uid="u9", labels={"site": "b"}))

    async def fill(self) -> None:
        """Have them found."""
        for number in reversed(range(MANY)):
            key = pair(f"d{number:05}")
            self.store.put_desired(key, put(score(uid="gone"), key=key))
            await self.publisher.work(key)
        self.store.touched = Touched()

    async def look(self, *, after: float) -> None:
        """Look at them, *after* some seconds."""
        self.now += after
        async with bounded_steps():
            await self.remover.look()

    def _take(self) -> None:
        self.portions.append(len(self.store.touched.pairs))
        self.store.touched = Touched()

    async def _never(self, *_: object) -> Any:
        raise AssertionError


@asynccontextmanager
async def bounded_steps() -> AsyncIterator[None]:
    """Claim that no turn of the loop calls more than so many functions while the block runs."""
    calls, turns, worst = 0, 0, 0

    def note(frame: FrameType, event: str, called: object) -> None:
        nonlocal calls
        if event == "call":
            calls += 1
        elif called is sorted and frame.f_code.co_filename == orphans.__file__:
            calls += PORTION

    async def other() -> None:
        nonlocal calls, turns, worst
        while True:
            worst, calls, turns = max(worst, calls), 0, turns + 1
            await asyncio.sleep(0)

    before: Callable[..., Any] | None = sys.getprofile()
    turning = asyncio.create_task(other())
    sys.setprofile(note)
    try:
        yield
        await asyncio.sleep(0)
    finally:
        sys.setprofile(before)
        turning.cancel()
    assert turns > 1
    assert worst < CALLS


async def test_very_many_orphans_are_held_and_removed_upon_a_word_in_steps_of_a_bounded_count():
    scene = Scene()
    await scene.fill()
    await scene.look(after=0)
    await scene.look(after=600)
    assert scene.counter.held == MANY
    assert not scene.store.removable

    word = Word()
    for orphan in sorted(await scene.publisher.orphans()):
        word.add(orphan)
    scene.cluster.word = str(word)
    await scene.look(after=1)
    assert scene.counter.held == 0
    assert set(scene.store.removable) == {pair(f"d{number:05}") for number in range(MANY)}
    assert sum(scene.portions) == MANY
    assert max(scene.portions) <= PORTION


async def test_what_may_not_go_any_more_is_taken_back_in_steps_of_a_bounded_count():
    scene = Scene()
    for number in range(MANY):
        scene.store.allow_removal(pair(f"d{number:05}"), 1)
    scene.store.touched = Touched()
    async with bounded_steps():
        await scene.remover.forbid()
    assert not scene.store.removable
    assert sum(scene.portions) == MANY
    assert max(scene.portions) <= PORTION


async def test_markers_are_no_values_however_many_there_are():
    scene = Scene()
    for number in range(MANY):
        key = pair(f"gone{number:05}")
        scene.store.put_desired(key, marker())
    for number in range(6):
        key = pair(f"d{number}")
        scene.store.put_desired(key, put(score(uid="gone"), key=key))
        await scene.publisher.work(key)
    await scene.look(after=0)
    await scene.look(after=600)
    assert scene.counter.held == 6
