"""`pruning` and `images`: which images may go, which never, and when."""

import asyncio
import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import errors
from fleet.agent.runtimes.podman import pruning
from fleet.agent.runtimes.podman.image_record import Record
from fleet.agent.runtimes.podman.images import Images, Keeping
from fleet.agent.runtimes.port import Image
from fleet.contracts.scores import PullPolicy
from tests import virtual_time
from tests.unit.agent.deployments.test_loop import holds
from tests.unit.agent.world import IMAGE_SIZE, FakeRuntime, World, container

IDS = ["a", "b", "c", "d", "e"]


def image(image_id: str, **more) -> Image:
    """An image of 100 bytes with one name."""
    return Image(image_id, frozenset(more.pop("names", [f"{image_id}:1"])), 100, **more)


def brought(*ids: str) -> dict[str, frozenset[str]]:
    """What the agent brought, each image under its one name."""
    return {i: frozenset([f"{i}:1"]) for i in ids}


@st.composite
def images(draw: st.DrawFn) -> list[Image]:
    """What may stand in a store."""
    return [
        image(
            i,
            names=draw(st.sampled_from([[f"{i}:1"], [f"{i}:1", "else:1"], []])),
            is_used=draw(st.booleans()),
            is_shared=draw(st.booleans()),
        )
        for i in draw(st.lists(st.sampled_from(IDS), unique=True))
    ]


@given(
    st.lists(st.sampled_from(IDS), unique=True),
    images(),
    st.sets(st.sampled_from(IDS)),
    st.integers(0, 600),
)
def test_nothing_goes_that_is_used_wanted_shared_or_not_ours_alone(
    ours: list[str], found: list[Image], wanted: set[str], budget: int
):
    for gone in pruning.surplus(brought(*ours), found, wanted, budget):
        assert gone.id in ours
        assert gone.id not in wanted
        assert not gone.is_used
        assert not gone.is_shared
        assert "else:1" not in gone.names


@given(st.permutations(IDS), st.integers(0, 600))
def test_just_so_many_go_that_the_rest_fits_and_those_used_longest_ago_first(
    ours: list[str], budget: int
):
    found = [image(i) for i in IDS]
    gone = [i.id for i in pruning.surplus(brought(*ours), found, (), budget)]
    assert gone == ours[: len(gone)]
    left = 100 * (len(ours) - len(gone))
    assert left <= budget
    assert not gone or left + 100 > budget


def test_what_is_used_stands_last_and_what_is_gone_is_forgotten():
    found = [image("a", is_used=True), image("b"), image("c")]
    arranged = pruning.arrange(brought("a", "b", "c", "d"), found, {"b"})
    assert list(arranged) == ["c", "a", "b"]


def test_what_somebody_else_had_brought_before_is_never_ours():
    assert pruning.bring({}, image("a"), is_new=False) == {}
    again = pruning.bring(brought("a"), image("a", names=["a:2"]), is_new=False)
    assert again == {"a": {"a:1", "a:2"}}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"a": 1}', b"\xff\xfe"])
async def test_a_damaged_record_gives_no_right_to_anything(tmp_path: Path, content: bytes):
    path = tmp_path / "images.json"
    path.write_bytes(content)
    assert Record(path).read() == {}
    await Record(path).write(brought("a"))
    assert Record(path).read() == brought("a")


async def test_an_image_that_is_brought_while_others_are_pruned_is_remembered(tmp_path: Path):
    record = Record(tmp_path / "images.json")
    runtime = FakeRuntime(World(images=set()))
    images = Images(runtime, Keeping(0, record), list)
    listed = runtime.images

    async def slow() -> tuple[Image, ...]:
        found = await listed()
        await images.fetch("new:1", PullPolicy.IF_NOT_PRESENT)
        return found

    runtime.images = slow  # type: ignore[method-assign]
    assert not await images.prune(0)
    assert record.read() == {"id-new:1": {"new:1"}}

    runtime.images = listed  # type: ignore[method-assign]
    assert await images.prune(0)
    assert record.read() == {"id-new:1": {"new:1"}}  # until it is seen to be gone
    assert not await images.prune(0)
    assert record.read() == {}


async def test_a_record_that_cannot_be_kept_stops_nothing(tmp_path: Path):
    (tmp_path / "file").write_text("")
    record = Record(tmp_path / "file" / "images.json")
    await record.write(brought("a"))
    assert record.read() == {}


def test_unused_images_go_some_time_after_others_were_brought():
    async def scenario() -> None:
        runtime = FakeRuntime(World(images={"theirs:1"}))
        wanted = {"old:1"}
        images = Images(runtime, Keeping(IMAGE_SIZE), lambda: wanted)
        task = asyncio.create_task(images.run())
        for version in ("old:1", "new:1", "newest:1"):
            await images.fetch(version, PullPolicy.ALWAYS)
            wanted.clear()
            wanted.add(version)
        assert not runtime.calls or "prune" not in "".join(runtime.calls)
        await holds(lambda: "prune id-old:1" in runtime.calls, "the oldest goes", within=100)
        assert runtime.world.images == {"theirs:1", "new:1", "newest:1"}
        task.cancel()

    virtual_time.run(scenario())


def test_a_pull_that_finds_no_space_makes_room_and_tries_once_more():
    class Small(FakeRuntime):
        async def fetch(self, image, policy):
            if len(self.world.images or ()) > 1:
                self.calls.append("full")
                raise errors.DiskFull("no space left on device")
            return await super().fetch(image, policy)

    async def scenario() -> None:
        found = dataclasses.replace(container("a"), image="sha256:used:1")
        runtime = Small(World.of([found]))
        runtime.world.images = set()
        images = Images(runtime, Keeping(), list)
        await images.fetch("used:1", PullPolicy.ALWAYS)
        await images.fetch("unused:1", PullPolicy.ALWAYS)
        await images.fetch("new:1", PullPolicy.ALWAYS)
        assert runtime.world.images == {"used:1", "new:1"}
        runtime.world.images.add("theirs:1")
        with pytest.raises(errors.DiskFull):
            await images.fetch("another:1", PullPolicy.ALWAYS)

    virtual_time.run(scenario())
