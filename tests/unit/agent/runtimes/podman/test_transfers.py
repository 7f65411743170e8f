"""`transfers`: an image that a loss of power interrupted is brought anew, and no other."""

import json
from pathlib import Path

import pytest

from fleet import errors
from fleet.agent.runtimes.podman.images import Images, Keeping
from fleet.contracts.scores import PullPolicy
from tests.unit.agent.world import FakeRuntime, World

PULLED = PullPolicy.IF_NOT_PRESENT


class PowerGoes(BaseException):
    """The process ends here."""


class Cut(FakeRuntime):
    """A runtime whose power goes while it brings an image, or once it is there."""

    async def fetch(self, image, policy):
        await super().fetch(image, policy)
        raise PowerGoes


class Refusing(FakeRuntime):
    """A runtime that finds no image."""

    async def fetch(self, image, policy):
        del policy
        raise errors.ImageNotFound(image)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where transfers are noted."""
    return tmp_path / "transfers.json"


def images(runtime: FakeRuntime, file: Path) -> Images:
    """The images of an agent that has just started."""
    return Images(runtime, Keeping(transfers=file), list)


async def interrupt(world: World, file: Path, image: str = "kiosk:1") -> None:
    """Have the power go while *image* is brought."""
    with pytest.raises(PowerGoes):
        await images(Cut(world), file).fetch(image, PULLED)


def noted(file: Path) -> list[str]:
    """What stands in the file."""
    found = json.loads(file.read_text())
    assert isinstance(found, list)
    return found


def calls(runtime: FakeRuntime) -> list[str]:
    """What was brought and removed."""
    return [call for call in runtime.calls if call.startswith(("fetch", "prune"))]


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
