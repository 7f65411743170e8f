"""Orphans under a running controller: reported, removed slowly and few at a time, or held."""

from collections.abc import AsyncIterator

import pytest

from fleet import errors
from fleet.contracts import kv
from fleet.contracts.messages import Phase
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.operator.controller import Controller
from fleet.operator.decisions import orphans
from fleet.operator.decisions.event_correlator import Post
from fleet.operator.model.matching.index import Pair
from tests.unit.operator import making
from tests.unit.operator.making import deployment_body
from tests.unit.operator.scene import MemoryScene

TEN_MINUTES = orphans.INTERVAL.total_seconds()


@pytest.fixture
async def scene() -> AsyncIterator[MemoryScene]:
    made = MemoryScene()
    made.cluster.add(deployment_body("bystander", uid="u9", labels={"site": "nowhere"}))
    yield made
    await made.bus.close()


async def orphaned(scene: MemoryScene, count: int) -> None:
    """Leave values whose owner is gone."""
    for number in range(count):
        device = DeviceId(f"d{number}")
        key = kv.desired_state_key(device, DeploymentName("web"))
        await scene.device.desired.put(key, making.score(uid="gone"))


async def found(scene: MemoryScene, controller: Controller, count: int) -> None:
    """Wait until so many are found, and have that be their first resync."""
    await controller.barrier.opened()
    await scene.until(lambda: scene.counter.orphaned == count, f"{count} orphans")
    await scene.resync(controller)


async def left(scene: MemoryScene, controller: Controller) -> int:
    """Count the values, once the controller has done all that it was about to do."""
    await scene.acts(controller)
    return await scene.values()


async def test_an_orphan_goes_after_ten_minutes_and_not_before(scene: MemoryScene):
    await orphaned(scene, 1)
    async with scene.running() as controller:
        await found(scene, controller, 1)
        await scene.resync(controller, after=TEN_MINUTES - 1)
        assert await left(scene, controller) == 1
        await scene.resync(controller, after=1)
        await scene.until(lambda: scene.counter.counts["mark"] == 1, "it goes")
        assert await left(scene, controller) == 0
        await scene.until(lambda: scene.counter.orphaned == 0, "no orphan is left")
        await scene.until(lambda: told(scene, "OrphansFound"), "it is told")


async def test_a_restart_begins_the_ten_minutes_anew(scene: MemoryScene):
    await orphaned(scene, 1)
    async with scene.running() as controller:
        await found(scene, controller, 1)
    async with scene.running() as controller:
        await scene.resync(controller, after=TEN_MINUTES)
        await scene.resync(controller, after=TEN_MINUTES - 1)
        assert await left(scene, controller) == 1


async def test_five_go_at_once(scene: MemoryScene):
    await orphaned(scene, 5)
    async with scene.running() as controller:
        await found(scene, controller, 5)
        await scene.resync(controller, after=TEN_MINUTES)
        await scene.until(lambda: scene.counter.counts["mark"] == 5, "they go")


async def test_six_are_held_and_each_of_them(scene: MemoryScene):
    await orphaned(scene, 6)
    async with scene.running() as controller:
        await found(scene, controller, 6)
        for _ in range(3):
            await scene.resync(controller, after=TEN_MINUTES)
        assert await left(scene, controller) == 6
    assert scene.counter.held == 6
    assert "kubectl annotate" in told(scene, "OrphansHeld")
    assert [post.series.count for post in posts(scene, "OrphansHeld")] == [1]


async def test_the_word_of_the_event_removes_what_it_names(scene: MemoryScene):
    await orphaned(scene, 6)
    async with scene.running() as controller:
        await found(scene, controller, 6)
        await scene.resync(controller, after=TEN_MINUTES)
        scene.cluster.word = await said_in(scene)
        await scene.resync(controller)
        await scene.until(lambda: scene.counter.counts["mark"] == 6, "they go")
    assert scene.counter.held == 0


async def test_a_word_for_another_set_removes_nothing(scene: MemoryScene):
    await orphaned(scene, 6)
    async with scene.running() as controller:
        await found(scene, controller, 6)
        await scene.resync(controller, after=TEN_MINUTES)
        scene.cluster.word = await said_in(scene)
        await orphaned(scene, 7)
        await scene.until(lambda: scene.counter.orphaned == 7, "there is one more")
        for _ in range(3):
            await scene.resync(controller, after=TEN_MINUTES)
        assert await left(scene, controller) == 7


async def test_a_word_that_cannot_be_read_removes_nothing(scene: MemoryScene):
    await orphaned(scene, 6)
    async with scene.running() as controller:
        await found(scene, controller, 6)
        await scene.resync(controller, after=TEN_MINUTES)
        scene.cluster.word = await said_in(scene)
        await controller.informer.list_all()
        scene.cluster.broken = errors.ClusterUnavailable("not now")
        await controller.resynced()
        scene.cluster.broken = None
        assert await left(scene, controller) == 6


async def test_orphans_that_may_go_already_do_not_count_among_those_that_are_next(
    scene: MemoryScene,
):
    """Five may go at once: those of before that the bus hasn't let go of yet aren't among them."""
    await orphaned(scene, 10)
    async with scene.running() as controller:
        await found(scene, controller, 10)
        for number in range(5):
            controller.store.allow_removal(*standing(controller, number))
        await scene.resync(controller, after=TEN_MINUTES)
        await scene.until(lambda: scene.counter.counts["mark"] == 10, "all of them go")
    assert scene.counter.held == 0


def standing(controller: Controller, number: int) -> tuple[Pair, int]:
    """Name a key, and the revision that stands there."""
    pair = making.pair(f"d{number}")
    entry = controller.store.desired[pair]
    assert entry is not None
    return pair, entry.revision


async def test_an_owner_that_comes_back_in_time_keeps_its_keys(scene: MemoryScene):
    await scene.device.register({"site": "a"})
    await orphaned(scene, 2)  # d0 isn't known
    async with scene.running() as controller:
        await found(scene, controller, 2)
        scene.cluster.add(deployment_body(uid="again"))
        for _ in range(3):
            await scene.resync(controller, after=TEN_MINUTES)
        await scene.until(lambda: scene.counter.counts["putvalue"] == 1, "it adopts")
        assert await left(scene, controller) == 2


async def test_an_owner_made_again_for_other_devices_takes_nothing_away(scene: MemoryScene):
    """Its labels may only not be back yet: etcd was wiped, with them."""
    await scene.device.register({"site": "a"})
    await orphaned(scene, 2)
    scene.cluster.add(deployment_body(uid="again", labels={"site": "other"}))
    async with scene.running() as controller:
        await found(scene, controller, 1)  # d1; d0, which isn't known, may yet match
        for _ in range(3):
            await scene.resync(controller, after=TEN_MINUTES)
        assert await left(scene, controller) == 2
    assert scene.counter.held == 1


async def test_an_empty_list_of_deployments_removes_nothing_ever(scene: MemoryScene):
    """Another cluster's kubeconfig, or etcd wiped: values, states and devices are all there."""
    await scene.device.register({"site": "a"})
    await orphaned(scene, 3)
    await scene.device.report("stray", Phase.RUNNING, "x")
    scene.cluster.deployments.clear()
    async with scene.running() as controller:
        await found(scene, controller, 4)
        for _ in range(3):
            await scene.resync(controller, after=TEN_MINUTES)
        await scene.device.beat()
        assert await scene.values() == 3
        assert not await scene.is_marked("stray")
    assert scene.counter.counts["mark"] == 0
    assert scene.counter.held == 4


async def test_a_state_that_nobody_asked_for_is_an_orphan_like_any(scene: MemoryScene):
    await scene.device.register({"site": "a"})
    await scene.device.report("stray", Phase.RUNNING, "x")
    async with scene.running() as controller:
        await found(scene, controller, 1)
        assert not await scene.is_marked("stray")
        await scene.resync(controller, after=TEN_MINUTES)
        await scene.until(lambda: scene.counter.counts["mark"] == 1, "it is answered")
        assert await scene.is_marked("stray")


async def test_bytes_that_do_not_decode_are_an_orphan_like_any(scene: MemoryScene):
    scene.server.write_raw(kv.BUCKET_DESIRED_STATE, "d1.web", b"\xff")
    async with scene.running() as controller:
        await found(scene, controller, 1)
        await scene.resync(controller, after=TEN_MINUTES)
        await scene.until(lambda: scene.counter.counts["mark"] == 1, "it goes")


def posts(scene: MemoryScene, reason: str) -> list[Post]:
    return [p for p in scene.cluster.events.values() if p.event.reason == reason]


def told(scene: MemoryScene, reason: str) -> str:
    """Read the last Event of that reason."""
    return "".join(post.event.message for post in posts(scene, reason))


async def said_in(scene: MemoryScene) -> str:
    """Read the word out of the Event, as an administrator does."""
    await scene.until(lambda: told(scene, "OrphansHeld"), "a word is asked for")
    return told(scene, "OrphansHeld").rpartition("=")[2]
