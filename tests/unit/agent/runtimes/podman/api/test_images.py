"""Looking for images by podman's API: what a name that isn't one is answered by."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from fleet import errors
from fleet.agent.runtimes.podman.api.images import PodmanImages
from fleet.agent.runtimes.port import Image
from fleet.contracts.scores import PullPolicy

REDIRECTED = "a/../b"


@dataclass
class Answer:
    """What podman 4.3.1 answers; a path that isn't clean is redirected."""

    status_code: int

    def json(self) -> Any:
        return {"Id": "id-1", "message": "no"}


def request(method: str, path: str, **_: Any) -> Answer:
    assert method == "GET"
    if "forbidden" in path:
        return Answer(403)
    return Answer(301 if ".." in path or "//" in path[1:] else 200)


def made(request: Any) -> PodmanImages:
    async def call(function: Any) -> Any:
        return function()

    def connect() -> Any:
        raise ConnectionRefusedError("it is asked for")

    return PodmanImages(request, connect, call, pulls=1, registries={})


@pytest.fixture
def images() -> PodmanImages:
    return made(request)


@pytest.mark.parametrize("name", [REDIRECTED, "a//b", "../../containers/json"])
async def test_a_name_that_podman_redirects_names_no_image(images: PodmanImages, name: str):
    assert await images.find_id(name) == ""


@pytest.mark.parametrize("policy", [PullPolicy.IF_NOT_PRESENT, PullPolicy.NEVER])
async def test_it_is_told_and_neither_brought_nor_taken_for_there(
    images: PodmanImages, policy: PullPolicy
):
    with pytest.raises(
        errors.InvalidImage, match=r"a/\.\./b names no image: write registry/name:tag"
    ):
        await images.fetch(REDIRECTED, policy)


async def test_what_is_there_is_found(images: PodmanImages):
    assert await images.find_id("a/b:1") == "id-1"
    assert await images.fetch("a/b:1", PullPolicy.IF_NOT_PRESENT) is None


async def test_another_refusal_is_no_word_about_what_is_there(images: PodmanImages):
    with pytest.raises(errors.RuntimeUnavailable):
        await images.find_id("forbidden")


@pytest.mark.parametrize(
    ("names", "removed"),
    [
        ((), ["id-1"]),
        (("app:1",), ["id-1"]),
        (("app:1", "app:moved", "app:too"), ["app:too", "id-1"]),
    ],
)
async def test_a_name_that_passed_to_another_image_stays(
    names: tuple[str, ...], removed: list[str]
):
    gone: list[str] = []

    def podman(method: str, path: str, **_: Any) -> Answer:
        if method == "DELETE":
            gone.append(path.removeprefix("/images/"))
        return Answer(404 if "moved" in path else 200)

    await made(podman).remove(Image("id-1", frozenset(names)))

    assert gone == removed


async def test_a_device_brings_so_many_images_at_once_and_no_more(
    images: PodmanImages, monkeypatch: pytest.MonkeyPatch
):
    at_once: list[int] = []
    pulling: list[str] = []

    async def listed() -> tuple[()]:
        return ()

    async def pull(image: str) -> None:
        pulling.append(image)
        at_once.append(len(pulling))
        for _ in range(5):
            await asyncio.sleep(0)
        pulling.remove(image)

    monkeypatch.setattr(images, "list", listed)
    monkeypatch.setattr(images, "_pull", pull)
    wanted = [f"app:{number}" for number in range(4)]
    await asyncio.gather(*(images.fetch(image, PullPolicy.ALWAYS) for image in wanted))
    assert at_once == [1] * 4
