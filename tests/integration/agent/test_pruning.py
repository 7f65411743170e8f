"""Images that nothing uses any more: the whole agent over a real podman and a registry."""

import dataclasses
import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet import errors
from fleet.agent.runtimes.podman.api.runtime import PodmanRuntime
from fleet.agent.runtimes.podman.image_record import Record
from fleet.agent.runtimes.podman.images import Images, Keeping
from fleet.contracts.messages import Phase
from fleet.contracts.scores import PullPolicy
from tests.agent_device import Hub
from tests.integration.agent.conftest import Start, make_runtime
from tests.integration.agent.test_deploying import sleeper
from tests.podman_host import IMAGE, PodmanHost, podman_host
from tests.registry import Registry, running_registry
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(90)

Publish = Callable[[str], str]


@pytest.fixture(scope="module")
def registry(
    shared_host: PodmanHost, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """A registry on the podman's own loopback."""
    with running_registry(tmp_path_factory.mktemp("registry"), shared_host.enter) as made:
        yield made


@pytest.fixture
def publish(host: PodmanHost, registry: Registry) -> Iterator[Publish]:
    """Put an image of its own into the registry, and not on the device."""
    made = []

    def publish(name: str) -> str:
        change = f"ENV=NAME={name}"
        host.podman("import", "--change", change, f"{host.root}/rootfs.tar", "published:1")
        registry.push(host, "localhost/published:1", f"{name}:1")
        host.podman("rmi", "localhost/published:1")
        made.append(registry.reference(f"{name}:1"))
        return made[-1]

    yield publish
    host.clear()
    for image in made:
        host.podman("rmi", "--ignore", image)


@pytest.fixture
def keeping(tmp_path: Path) -> Keeping:
    """Nothing unused is kept, and it goes at once."""
    return Keeping(0, Record(tmp_path / "images.json"), look=0.5, settle=0.1)


def has(host: PodmanHost, image: str) -> bool:
    """Tell whether an image is on the device."""
    return image in host.podman("images", "--format={{.Repository}}:{{.Tag}}").split()


async def is_gone(host: PodmanHost, image: str) -> None:
    """Wait until an image is not on the device."""

    async def look() -> bool:
        return not has(host, image)

    await eventually(look, f"{image} is gone")


async def test_a_version_that_was_replaced_goes_and_what_the_agent_did_not_bring_stays(
    hub: Hub, host: PodmanHost, start_agent: Start, publish: Publish, keeping: Keeping
):
    old, new, theirs, tagged = (publish(name) for name in ("old", "new", "theirs", "tagged"))
    host.podman("pull", "--quiet", "--tls-verify=false", theirs)
    async with start_agent(keeping=keeping):
        await hub.deploy("web", sleeper("a", image=old))
        await hub.deploy("other", sleeper("a", image=tagged))
        await hub.deploy("third", sleeper("a", image=theirs))
        for deployment in ("web", "other", "third"):
            await hub.reaches(deployment, Phase.RUNNING)
        host.podman("tag", tagged, "localhost/mine:1")
        await hub.withdraw("other")
        await hub.withdraw("third")
        await hub.is_gone("other")
        await hub.is_gone("third")
        revision = await hub.deploy("web", sleeper("a", image=new))
        await hub.reaches("web", Phase.RUNNING, revision=revision)
        await is_gone(host, old)
        assert all(has(host, image) for image in (new, theirs, tagged, IMAGE))
    host.podman("rmi", "localhost/mine:1")


async def test_a_restarted_agent_knows_what_it_brought_and_one_that_does_not_removes_nothing(
    hub: Hub, host: PodmanHost, start_agent: Start, publish: Publish, keeping: Keeping
):
    first, second = publish("first"), publish("second")
    ample = dataclasses.replace(keeping, budget=2**30)
    async with start_agent(keeping=ample):
        for image in (first, second):
            revision = await hub.deploy("web", sleeper("a", image=image))
            await hub.reaches("web", Phase.RUNNING, revision=revision)
        with make_runtime(host) as runtime:
            await passes(runtime, host)
        assert has(host, first)
    async with start_agent(keeping=keeping):
        await is_gone(host, first)
        assert has(host, second)


async def passes(runtime: PodmanRuntime, host: PodmanHost) -> None:
    """Prune as an agent would that brought nothing."""
    before = host.podman("images", "--quiet")
    assert not await Images(runtime, Keeping(), list).prune(0)
    assert host.podman("images", "--quiet") == before


def publish_large(host: PodmanHost, registry: Registry, name: str) -> str:
    """Put an image of more than half the disk into the registry, and not on the device."""
    content = io.BytesIO(os.urandom(14_000_000))
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("ballast")
        entry.size = len(content.getbuffer())
        tar.addfile(entry, content)
    host.run("podman", "import", "-", "large:1", data=archive.getvalue())
    registry.push(host, "localhost/large:1", f"{name}:1")
    host.podman("rmi", "localhost/large:1")
    return registry.reference(f"{name}:1")


async def test_an_image_that_finds_no_space_gets_that_of_one_that_nothing_uses(tmp_path: Path):
    with (
        podman_host(size="26m") as small,
        running_registry(tmp_path, small.enter) as registry,
        make_runtime(small) as runtime,
    ):
        one, two = (publish_large(small, registry, name) for name in ("one", "two"))
        images = Images(runtime, Keeping(), list)
        await images.fetch(one, PullPolicy.IF_NOT_PRESENT)
        with pytest.raises(errors.DiskFull):
            await runtime.fetch(two, PullPolicy.IF_NOT_PRESENT)
        await images.fetch(two, PullPolicy.IF_NOT_PRESENT)
        assert (has(small, one), has(small, two)) == (False, True)
