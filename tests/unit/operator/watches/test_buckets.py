"""Feeds of the buckets: what a replay doesn't hold, and what comes late."""

import pytest

from fleet.bus.memory import MemoryServer
from fleet.bus.port import Synced
from fleet.contracts import kv, messages
from fleet.operator.model.store import Store
from fleet.operator.watches.buckets import DesiredFeed, Surroundings
from fleet.operator.watches.sync_barrier import Part, SyncBarrier
from fleet.supervision.failures import Failures
from tests.unit.operator import making
from tests.unit.operator.fakes import FakeCounter
from tests.unit.operator.making import pair

KEY = kv.desired_state_key(*pair())


class Scene:
    """A feed of `desired-state`, the bucket, and the view that it keeps."""

    def __init__(self) -> None:
        self.store = Store()
        self.barrier = SyncBarrier()
        self.bucket = MemoryServer().connect().bucket(messages.DESIRED_STATE)
        around = Surroundings(
            self.store, self.barrier, FakeCounter(), Failures(), junk=lambda _: None
        )
        self.feed = DesiredFeed(around, self.bucket)


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_what_was_written_since_a_replay_began_is_read_again_and_stays(scene: Scene):
    """The operator's own write: without it, it would be put anew, or taken for nobody's."""
    revision = await scene.bucket.put(KEY, making.score())
    scene.store.put_desired(pair(), making.put(making.score(), revision))
    await scene.feed.handle(Synced(frozenset()))
    assert scene.store.desired[pair()].revision == revision
    assert Part.DESIRED_STATE not in scene.barrier.missing


async def test_what_is_gone_when_it_is_read_again_leaves_the_view(scene: Scene):
    scene.store.put_desired(pair(), making.put(making.score(), 7))
    await scene.feed.handle(Synced(frozenset()))
    assert pair() not in scene.store.desired


async def test_the_echo_of_what_was_overwritten_since_changes_nothing(scene: Scene):
    before = await scene.bucket.put(KEY, making.score("web:1"))
    revision = await scene.bucket.put(KEY, making.score("web:2"))
    scene.store.put_desired(pair(), making.put(making.score("web:2"), revision))
    await scene.feed.handle(making.put(making.score("web:1"), before))
    assert scene.store.desired[pair()].revision == revision
