"""What others do to our containers is put right, by podman's events alone: no resync helps here."""

import json
from collections.abc import Iterator

import pytest

from fleet.contracts import containers
from fleet.contracts.messages import Phase
from tests.agent_device import Hub
from tests.integration.agent.agent_process import DEVICE
from tests.integration.agent.conftest import Start
from tests.integration.agent.test_deploying import inspect, script, sleeper
from tests.podman_host import IMAGE, PodmanHost
from tests.registry import Registry, running_registry
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(60)

NEVER = 3600.0
A = "fleet.web.a"


@pytest.fixture(scope="module")
def registry(
    shared_host: PodmanHost, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """A registry on the podman's own loopback."""
    with running_registry(tmp_path_factory.mktemp("registry"), shared_host.enter) as made:
        yield made


@pytest.fixture
def image(host: PodmanHost, registry: Registry) -> str:
    """An image of its own, that can be fetched again."""
    reference = registry.reference("drift:1")
    host.run("/bin/sh", "-c", f"podman import --change ENV=DRIFT=1 {host.root}/rootfs.tar drift:1")
    registry.push(host, "localhost/drift:1", "drift:1")
    host.podman("rmi", "localhost/drift:1")
    return reference


def runs(host: PodmanHost, name: str) -> bool:
    """Tell whether a container of this name runs, as the deployment wants it."""
    found = json.loads(host.podman("ps", "--format=json", f"--filter=name=^{name}$"))
    return len(found) == 1 and found[0]["Labels"].get(containers.LABEL_DIGEST, "") not in ("", "no")


async def is_right_again(host: PodmanHost) -> None:
    """Wait until `a` runs."""

    async def look() -> bool:
        return runs(host, A)

    await eventually(look, f"{A} runs as wanted", within=20)


def recreate(host: PodmanHost, *labels: str) -> None:
    """Put a container of somebody's own in the place of ours."""
    host.podman("rm", "--force", "--time=0", A)
    arguments = [f"--label={label}" for label in labels]
    host.podman("create", f"--name={A}", "--net=none", *arguments, IMAGE, "/bin/sleep", "1000")


OURS_OF_ANOTHER_DIGEST = (
    f"{containers.LABEL_DEVICE}={DEVICE}",
    f"{containers.LABEL_DEPLOYMENT}=web",
    f"{containers.LABEL_SERVICE}=a",
    f"{containers.LABEL_DIGEST}=no",
)


@pytest.mark.parametrize(
    "drift",
    [
        pytest.param(["kill", A], id="killed"),
        pytest.param(["stop", "--time=0", A], id="stopped"),
        pytest.param(["restart", "--time=0", A], id="restarted"),
        pytest.param(["pause", A], id="paused"),
        pytest.param(["rm", "--force", "--time=0", A], id="removed"),
        pytest.param(["rename", A, "somebody-elses"], id="renamed"),
    ],
)
async def test_what_befalls_a_container_is_put_right(
    hub: Hub, host: PodmanHost, start_agent: Start, drift: list[str]
):
    async with start_agent(resync=NEVER):
        await hub.deploy("web", sleeper("a"), sleeper("b"))
        await hub.reaches("web", Phase.RUNNING)
        other = host.containers()["fleet.web.b"]
        host.podman(*drift)
        await is_right_again(host)
    assert host.containers()["fleet.web.b"] == other


async def test_a_container_that_was_renamed_is_left_to_whoever_did_it(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent(resync=NEVER):
        await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING)
        before = host.containers()[A]
        host.podman("rename", A, "kept")
        await is_right_again(host)
        await hub.withdraw("web")
        await hub.is_gone("web")
    assert host.containers() == {"kept": before}


async def test_one_of_ours_with_another_digest_is_replaced(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING)
    recreate(host, *OURS_OF_ANOTHER_DIGEST)
    async with start_agent(resync=NEVER):
        await is_right_again(host)


async def test_a_strangers_container_in_our_place_is_told_left_alone_and_outlived(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    # Nothing tells of a stranger's containers: here the resync looks.
    async with start_agent(resync=2.0):
        await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING)
        host.stop()
        recreate(host)
        stranger = host.containers()[A]
        host.start()
        await hub.reaches("web", Phase.FAILED, reason="NameTaken")
        assert host.containers()[A] == stranger
        host.podman("rm", A)
        await is_right_again(host)


async def test_an_image_that_is_removed_with_its_container_is_fetched_again(
    hub: Hub, host: PodmanHost, start_agent: Start, image: str
):
    async with start_agent(resync=NEVER):
        await hub.deploy("web", sleeper("a", image=image))
        await hub.reaches("web", Phase.RUNNING)
        host.podman("rmi", "--force", image)
        await is_right_again(host)
        await hub.reaches("web", Phase.RUNNING)


@pytest.mark.parametrize("state", ["running", "stopped"])
async def test_an_image_that_lost_its_name_changes_nothing(
    hub: Hub, host: PodmanHost, start_agent: Start, image: str, state: str
):
    text = "sleep 1000" if state == "running" else "exit 0"
    async with start_agent():
        await hub.deploy("web", script("a", text, image=image, restartPolicy="OnFailure"))
        await hub.reaches("web", Phase.RUNNING)
        before = inspect(host, "web", "a")
        host.podman("untag", image)
    async with start_agent():
        await hub.deploy("next", sleeper("a"))
        await hub.reaches("next", Phase.RUNNING)
        await hub.reaches("web", Phase.RUNNING)
    after = inspect(host, "web", "a")
    assert (after["Id"], after["State"]["StartedAt"]) == (
        before["Id"],
        before["State"]["StartedAt"],
    )


async def test_after_podman_itself_was_away_its_events_are_followed_again(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent(resync=NEVER):
        await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING)
        host.stop()
        # What happens meanwhile, nobody tells.
        host.podman("kill", A)
        host.start()
        await is_right_again(host)
        host.podman("kill", A)
        await is_right_again(host)


async def test_a_one_shot_that_is_done_runs_again_only_when_it_is_changed(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    job = script("a", "exit 0", restartPolicy="OnFailure")
    async with start_agent(resync=0.5):
        await hub.deploy("job", job)
        await hub.reaches("job", Phase.RUNNING)
        done = inspect(host, "job", "a")["State"]["StartedAt"]
    async with start_agent(resync=0.5):
        await hub.deploy("next", sleeper("a"))
        await hub.reaches("next", Phase.RUNNING)
        assert inspect(host, "job", "a")["State"]["StartedAt"] == done
        revision = await hub.deploy("job", {**job, "env": {"ROUND": "2"}})
        await hub.reaches("job", Phase.RUNNING, revision=revision)
        assert inspect(host, "job", "a")["State"]["StartedAt"] != done
