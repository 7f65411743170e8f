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
    images = Images(runtime, Keeping(transfers=transfers, boot="later"), list)
    stuck = asyncio.create_task(images.fetch("kiosk:1", WANTED))
    await turns()

    async with asyncio.timeout(5):
        await images.fetch("other:1", WANTED)

    runtime.pulls["kiosk:1"].set()
    await stuck


async def test_an_image_that_is_there_is_looked_for_once_and_not_in_turn(
    runtime: FakeRuntime, images: Images
):
    """Each question is a request to podman, which a roll-out waits for."""
    runtime.world.images = {"app:1"}
    asked: list[str] = []
    waiting = asyncio.Event()

    async def image_id(reference: str) -> str:
        asked.append(reference)
        await waiting.wait()
        return "sha256:app"

    runtime.image_id = image_id  # type: ignore[method-assign]
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(images.fetch("app:1", WANTED))
        await turns()
        at_once = len(asked)
        waiting.set()
    assert at_once == len(asked) == 3
    assert "fetch app:1" not in runtime.calls


async def test_an_image_that_is_being_brought_counts_once_it_is_on_the_disk(
    runtime: FakeRuntime, images: Images
):
    """Podman knows an image a while before all of it would survive a power cut."""
    first = asyncio.create_task(images.fetch("kiosk:1", WANTED))
    await turns()
    runtime.world.images = {"kiosk:1"}

    second = asyncio.create_task(images.fetch("kiosk:1", WANTED))
    await turns()

    assert not second.done()
    runtime.pulls["kiosk:1"].set()
    await asyncio.gather(first, second)
