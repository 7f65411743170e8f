"""`images`: deployments that want the same image take turns, and wait for no other one."""

import asyncio
from pathlib import Path

import pytest

from fleet.agent.runtimes.podman.images import Images, Keeping
from fleet.contracts.scores import PullPolicy
from tests.unit.agent.world import FakeRuntime, World

WANTED = PullPolicy.IF_NOT_PRESENT


@pytest.fixture
def runtime() -> FakeRuntime:
    """A runtime without images, whose transfer of kiosk:1 waits to be let through."""
    made = FakeRuntime(World(images=set()))
    made.pulls["kiosk:1"] = asyncio.Event()
    return made


@pytest.fixture
def images(runtime: FakeRuntime) -> Images:
    return Images(runtime, Keeping(), list)


async def turns() -> None:
    """Let everybody go as far as they can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_an_image_that_several_want_is_brought_once(runtime: FakeRuntime, images: Images):
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(images.fetch("kiosk:1", WANTED))
        await turns()
        begun = runtime.calls.count("fetch kiosk:1")
        runtime.pulls["kiosk:1"].set()
    assert begun == 1
    assert runtime.world.images == {"kiosk:1"}


async def test_where_the_one_who_brings_it_gives_up_the_next_one_does(
    runtime: FakeRuntime, images: Images
):
    first = asyncio.create_task(images.fetch("kiosk:1", WANTED))
    await turns()
    second = asyncio.create_task(images.fetch("kiosk:1", WANTED))
    await turns()

    first.cancel()
    runtime.pulls["kiosk:1"].set()
    await second

    assert runtime.broken_off == ["kiosk:1"]
    assert runtime.world.images == {"kiosk:1"}


async def test_an_image_that_takes_long_keeps_no_other_waiting(
    runtime: FakeRuntime, images: Images
):
    slow = asyncio.create_task(images.fetch("kiosk:1", WANTED))
    await turns()

    await images.fetch("other:1", WANTED)

    assert runtime.world.images == {"other:1"}
    runtime.pulls["kiosk:1"].set()
    await slow


async def test_an_interrupted_image_that_cannot_be_brought_keeps_no_other_waiting(
    runtime: FakeRuntime, tmp_path: Path
):
    transfers = tmp_path / "transfers.json"
    transfers.write_text('["kiosk:1"]')  # the agent was killed while it brought it
    images = Images(runtime, Keeping(transfers=transfers), list)
    stuck = asyncio.create_task(images.fetch("kiosk:1", WANTED))
    await turns()

    async with asyncio.timeout(5):
        await images.fetch("other:1", WANTED)

    runtime.pulls["kiosk:1"].set()
    await stuck
