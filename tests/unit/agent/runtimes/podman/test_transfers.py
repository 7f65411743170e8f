"""`transfers`: an image that a loss of power interrupted is brought anew, and no other."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from fleet import errors
from fleet.agent.runtimes.podman import transfers
from fleet.agent.runtimes.podman.images import Images, Keeping
from fleet.agent.runtimes.port import Fetched, Image
from fleet.agent.system.cancellation import cancel
from fleet.contracts.scores import PullPolicy
from tests.unit.agent.world import FakeRuntime, World
from tests.waiting import eventually

PULLED = PullPolicy.IF_NOT_PRESENT


class PowerGoes(BaseException):
    """The process ends here."""


class Cut(FakeRuntime):
    """A runtime whose power goes while it brings an image, or once it is there."""

    async def fetch(self, image, policy):
        await super().fetch(image, policy)
        raise PowerGoes


class Refusing(FakeRuntime):
    """A runtime that finds no image elsewhere."""

    async def fetch(self, image, policy):
        if policy is PullPolicy.IF_NOT_PRESENT and image in (self.world.images or ()):
            return
        raise errors.ImageNotFound(image)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where transfers are noted."""
    return tmp_path / "transfers.json"


def images(runtime: FakeRuntime, file: Path, boot: str = "later") -> Images:
    """The images of an agent that has just started, and whose podman writes nothing late."""
    return Images(runtime, Keeping(transfers=file, boot=boot, settle=0.0), list)


@contextlib.asynccontextmanager
async def running(started: Images) -> AsyncIterator[None]:
    """Have an agent look after its images."""
    task = asyncio.create_task(started.run())
    yield
    await cancel([task])


async def is_forgotten(file: Path) -> None:
    """Wait until nothing stands in the file."""

    async def look() -> bool:
        return noted(file) == []

    await eventually(look, "nothing is noted")


async def interrupt(world: World, file: Path, image: str = "kiosk:1") -> None:
    """Have the power go while *image* is brought."""
    with pytest.raises(PowerGoes):
        await images(Cut(world), file, "first").fetch(image, PULLED)


def noted(file: Path) -> list[str]:
    """What stands in the file."""
    found = json.loads(file.read_text())
    assert isinstance(found, list)
    return [line for line in found if not line.startswith("boot ")]


def note(file: Path, *images: str) -> None:
    """Note transfers as the version before did: without the boot."""
    file.write_text(json.dumps(images))


def read_by_the_version_before(file: Path) -> set[str]:
    """What the version before took for images."""
    return msgspec.json.decode(file.read_bytes(), type=set[str])


def calls(runtime: FakeRuntime) -> list[str]:
    """What was brought and removed."""
    return [call for call in runtime.calls if call.startswith(("fetch", "prune"))]


async def break_off(started: Images, runtime: FakeRuntime) -> None:
    """Have a transfer cancelled while it goes on."""
    runtime.pulls["kiosk:1"] = asyncio.Event()
    pull = asyncio.create_task(started.fetch("kiosk:1", PULLED))

    async def goes_on() -> bool:
        return "fetch kiosk:1" in runtime.calls

    await eventually(goes_on, "the transfer goes on")
    pull.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pull


async def test_an_image_stands_in_the_file_until_it_is_on_the_disk(
    file: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: list[list[str]] = []
    monkeypatch.setattr("os.sync", lambda: seen.append(noted(file)))

    await images(FakeRuntime(World(images=set())), file).fetch("kiosk:1", PULLED)

    assert seen == [["kiosk:1"]]
    assert noted(file) == []


async def test_an_image_that_was_interrupted_is_removed_and_brought_anew(file: Path):
    world = World(images=set())
    await interrupt(world, file)
    runtime = FakeRuntime(world)

    await images(runtime, file).fetch("kiosk:1", PULLED)

    assert calls(runtime) == ["fetch kiosk:1", "prune id-kiosk:1", "fetch kiosk:1"]
    assert noted(file) == []


async def test_layers_that_came_without_their_image_go_with_it(file: Path):
    world = World(images=set())
    await interrupt(world, file)
    world.images = set()  # the layers were there already, the image wasn't
    runtime = FakeRuntime(world)

    await images(runtime, file).fetch("kiosk:1", PULLED)

    assert calls(runtime) == ["fetch kiosk:1", "prune id-kiosk:1", "fetch kiosk:1"]


async def test_it_is_suspected_once_and_others_never(file: Path):
    world = World(images={"other:1"})
    await interrupt(world, file)
    runtime = FakeRuntime(world)
    started = images(runtime, file)
    await started.fetch("kiosk:1", PULLED)
    runtime.calls.clear()

    await started.fetch("kiosk:1", PULLED)
    await started.fetch("other:1", PULLED)

    assert "prune" not in " ".join(calls(runtime))


async def test_one_that_cannot_be_brought_yet_stays_suspect(file: Path):
    world = World(images=set())
    await interrupt(world, file)
    world.images = set()
    with pytest.raises(errors.ImageNotFound):
        await images(Refusing(world), file).fetch("kiosk:1", PULLED)
    runtime = FakeRuntime(world)

    await images(runtime, file).fetch("kiosk:1", PULLED)

    assert "prune id-kiosk:1" in calls(runtime)


async def test_another_image_and_a_restart_of_the_agent_clear_no_suspect(file: Path):
    world = World(images=set())
    await interrupt(world, file)
    with pytest.raises(errors.ImageNotFound):
        await images(Refusing(world), file).fetch("kiosk:1", PULLED)
    await images(FakeRuntime(world), file).fetch("other:1", PULLED)

    with pytest.raises(errors.ImageNotFound):
        await images(Refusing(world), file).fetch("kiosk:1", PULLED)


async def test_one_whose_other_name_cannot_be_brought_yet_stays_suspect(file: Path):
    class TwoNames(FakeRuntime):
        async def images(self) -> tuple[Image, ...]:
            return (Image("id-1", frozenset({"a/x:1", "b/x:1"}), 1),)

        async def fetch(self, image: str, policy: PullPolicy) -> Fetched | None:
            if image == "b/x:1":
                raise errors.ImagePullFailed("its registry is away", element=image)
            return await super().fetch(image, policy)

        async def remove_image(self, image: Image) -> None:
            raise AssertionError(f"{image} can't be had again")

    note(file, "boot first", "a/x:1", "b/x:1")
    started = images(TwoNames(World(images={"a/x:1", "b/x:1"})), file)
    for _ in range(2):
        with pytest.raises(errors.ImagePullFailed):
            await started.fetch("a/x:1", PULLED)


async def test_a_refusal_leaves_nothing_to_suspect(file: Path):
    with pytest.raises(errors.ImageNotFound):
        await images(Refusing(World(images=set())), file).fetch("kiosk:1", PULLED)

    assert noted(file) == []


async def test_one_that_a_container_uses_is_left(file: Path):
    class Used(FakeRuntime):
        async def remove_image(self, image):
            raise errors.ContainerFailed(f"{image.id} is in use")

    world = World(images=set())
    await interrupt(world, file)

    await images(Used(world), file).fetch("kiosk:1", PULLED)

    assert world.images == {"kiosk:1"}
    assert noted(file) == []


@pytest.mark.parametrize("content", [b"", b"{", b'"a"', b"[1]", b"\xff"])
async def test_a_damaged_file_suspects_nothing(tmp_path: Path, content: bytes):
    file = tmp_path / "transfers.json"
    file.write_bytes(content)
    runtime = FakeRuntime(World(images={"kiosk:1"}))

    await images(runtime, file).fetch("kiosk:1", PULLED)

    assert "prune" not in " ".join(calls(runtime))


async def test_a_file_that_cannot_be_written_stops_nothing(tmp_path: Path):
    (tmp_path / "plain").write_text("")
    runtime = FakeRuntime(World(images=set()))

    await images(runtime, tmp_path / "plain" / "transfers.json").fetch("kiosk:1", PULLED)

    assert runtime.world.images == {"kiosk:1"}


async def test_a_pull_that_is_cancelled_leaves_an_image_that_a_restart_keeps(file: Path):
    """Also without a network: nothing is suspected of which nothing was lost."""
    world = World(images=set())
    first = FakeRuntime(world)
    await break_off(images(first, file, "first"), first)
    world.images = {"kiosk:1"}  # brought by somebody since
    restarted = Refusing(world)

    await images(restarted, file, "first").fetch("kiosk:1", PULLED)

    assert world.images == {"kiosk:1"}
    assert calls(restarted) == []


async def test_what_was_broken_off_is_forgotten_once_it_is_on_the_disk(
    file: Path, monkeypatch: pytest.MonkeyPatch
):
    """Then not even a boot suspects it."""
    synced: list[list[str]] = []
    monkeypatch.setattr("os.sync", lambda: synced.append(noted(file)))
    runtime = FakeRuntime(World(images=set()))
    started = images(runtime, file)
    await break_off(started, runtime)
    async with running(started):
        await is_forgotten(file)
    assert synced == [["kiosk:1"]]


async def test_what_an_agent_that_was_killed_left_is_put_on_the_disk_by_the_next_one(file: Path):
    await interrupt(World(images=set()), file)
    async with running(images(FakeRuntime(), file, "first")):
        await is_forgotten(file)


async def test_a_whole_image_stays_where_its_registry_does_not_answer(file: Path):
    """It was there before, and the power went while it was looked for anew."""
    world = World(images={"kiosk:1"})
    with pytest.raises(PowerGoes):
        await images(Cut(world), file, "first").fetch("kiosk:1", PullPolicy.ALWAYS)
    for policy in (PULLED, PullPolicy.ALWAYS):
        with pytest.raises(errors.ImageNotFound):
            await images(Refusing(world), file).fetch("kiosk:1", policy)
    assert world.images == {"kiosk:1"}


class Named(FakeRuntime):
    """A runtime whose images all have a second name, which no registry has."""

    async def fetch(self, image, policy):
        if image == "mine:1":
            raise errors.ImageNotFound(image)
        return await super().fetch(image, policy)

    async def images(self):
        found = await super().images()
        return tuple(replace(each, names=each.names | {"mine:1"}) for each in found)


async def test_an_image_with_a_name_of_somebody_elses_is_left(file: Path):
    world = World(images=set())
    await interrupt(world, file)
    runtime = Named(world)

    await images(runtime, file).fetch("kiosk:1", PULLED)

    assert world.images == {"kiosk:1"}
    assert "prune" not in " ".join(calls(runtime))
    assert noted(file) == []


async def test_an_image_whose_other_name_cannot_be_brought_again_is_left(file: Path):
    world = World(images=set())
    await interrupt(world, file)
    note(file, "kiosk:1", "mine:1")
    runtime = Named(world)

    await images(runtime, file).fetch("kiosk:1", PULLED)

    assert "prune" not in " ".join(calls(runtime))
    assert noted(file) == ["mine:1"]


async def test_the_version_before_reads_the_file_and_this_one_reads_its(file: Path):
    world = World(images=set())
    await interrupt(world, file)
    assert read_by_the_version_before(file) >= {"kiosk:1"}
    note(file, "kiosk:1")
    runtime = FakeRuntime(world)

    await images(runtime, file, "first").fetch("kiosk:1", PULLED)

    assert "prune id-kiosk:1" in calls(runtime)


def test_a_machine_tells_its_boot():
    assert transfers.this_boot() == transfers.this_boot() != ""
