"""Posting: in its own time, the latest of a series, and without harm where it fails."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from fleet import errors
from fleet.operator.decisions.events import Event, Severity, Subject
from fleet.operator.writers.event_recorder import MOST_WAITING, EventRecorder
from tests import virtual_time
from tests.unit.operator.fakes import FakeClock, FakeCluster, FakeCounter


class Scene:
    """A recorder, where it posts to and who counts."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.counter = FakeCounter()
        self.clock = FakeClock()
        self.recorder = EventRecorder(self.cluster, self.clock, self.counter)

    def tell(self, number: int = 1, message: str = "no heartbeat") -> None:
        about = Subject("Deployment", f"d{number}", f"uid-{number}", f"ns-{number}")
        self.recorder.post(Event(about, Severity.WARNING, "Stale", message))

    @contextmanager
    def posting(self) -> Iterator[None]:
        task = asyncio.create_task(self.recorder.queue.run())
        try:
            yield
        finally:
            task.cancel()

    def messages(self) -> list[str]:
        return [post.event.message for post in self.cluster.events.values()]


def test_the_latest_of_a_series_is_posted_and_counts_them_all():
    async def scenario() -> None:
        scene = Scene()
        scene.tell(message="first")
        scene.tell(message="second")
        with scene.posting():
            await asyncio.sleep(1)
        (post,) = scene.cluster.events.values()
        assert (post.event.message, post.series.count) == ("second", 2)
        assert scene.cluster.writes["event"] == 1
        assert scene.counter.counts["event posted"] == 1

    virtual_time.run(scenario())


def test_what_is_told_while_the_one_before_is_posted_comes_after_it():
    async def scenario() -> None:
        scene = Scene()
        with scene.posting():
            scene.tell(message="first")
            scene.cluster.meanwhile = lambda: scene.tell(message="second")
            await asyncio.sleep(1)
        assert scene.messages() == ["second"]
        assert scene.cluster.writes["event"] == 2

    virtual_time.run(scenario())


def test_an_api_server_that_is_away_delays_events_and_nothing_else():
    async def scenario() -> None:
        scene = Scene()
        scene.cluster.broken = errors.ClusterUnavailable("not now")
        with scene.posting():
            scene.tell()
            await asyncio.sleep(100)
            assert scene.messages() == []
            scene.cluster.broken = None
            await asyncio.sleep(60)
        assert scene.messages() == ["no heartbeat"]

    virtual_time.run(scenario())


def test_an_event_that_is_refused_is_lost_counted_and_not_tried_again():
    async def scenario() -> None:
        scene = Scene()
        scene.cluster.broken = errors.ClusterRefused("403")
        with scene.posting():
            scene.tell()
            await asyncio.sleep(100)
            scene.cluster.broken = None
            await asyncio.sleep(100)
        assert scene.messages() == []
        assert scene.counter.counts["event lost"] == 1

    virtual_time.run(scenario())


def test_what_waits_is_bounded_however_long_the_api_server_is_away():
    scene = Scene()
    for number in range(3 * MOST_WAITING):
        scene.clock.time += timedelta(seconds=1)  # so that the rate leaves none out
        scene.tell(number)
    assert len(scene.recorder.queue) == MOST_WAITING
    assert scene.counter.counts == {"event lost": 2 * MOST_WAITING}


def test_a_crowd_at_one_instant_is_counted_whether_it_waits_or_not():
    scene = Scene()
    for number in range(3 * MOST_WAITING):
        scene.tell(number)
    counts = scene.counter.counts
    assert len(scene.recorder.queue) + counts["event left out"] == 3 * MOST_WAITING
