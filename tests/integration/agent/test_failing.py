"""What goes wrong on a device, and what is said of it: the whole agent over a real podman."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.agent.runtimes.podman import staging
from fleet.contracts.messages import Phase
from tests.agent_device import Hub
from tests.integration.agent.conftest import Start
from tests.integration.agent.test_deploying import inspect, script, sleeper
from tests.podman_host import IMAGE, PodmanHost
from tests.registry import Registry, running_registry, silent_registry
from tests.silent_registry import LAYER
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def registry(
    shared_host: PodmanHost, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """A registry on the podman's own loopback, with the test image in it."""
    with running_registry(tmp_path_factory.mktemp("registry"), shared_host.enter) as made:
        made.push(shared_host, IMAGE, "busybox:1")
        yield made


@pytest.fixture(scope="module")
def locked_registry(
    shared_host: PodmanHost, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """A registry that wants a password."""
    directory: Path = tmp_path_factory.mktemp("locked")
    with running_registry(directory, shared_host.enter, locked=True) as made:
        yield made


async def test_an_image_is_pulled_from_a_registry(
    hub: Hub, host: PodmanHost, start_agent: Start, registry: Registry
):
    image = registry.reference("busybox:1")
    host.podman("rmi", "--ignore", image)
    async with start_agent():
        await hub.deploy("web", sleeper("a", image=image))
        state = await hub.reaches("web", Phase.RUNNING)
    assert state.services[0].image.startswith("sha256:")


async def test_an_image_that_does_not_exist_is_told_and_the_old_version_serves_on(
    hub: Hub, host: PodmanHost, start_agent: Start, registry: Registry
):
    async with start_agent():
        await hub.deploy("web", sleeper("a"), sleeper("b"))
        await hub.reaches("web", Phase.RUNNING)
        before = host.containers()

        missing = sleeper("a", image=registry.reference("busybox:none"))
        altered = sleeper("b", labels={"new": "1"}, resources={"memory": "32Mi"})
        revision = await hub.deploy("web", missing, altered)
        state = await hub.reaches("web", Phase.FAILED, revision=revision, reason="ImageNotFound")
        assert state.error
        assert state.error.service == "a"
        image = registry.reference("busybox:none")
        where = image.partition("/")[0]
        assert state.error.message.startswith(f"registry {where} does not have {image}: check")
        assert host.containers() == before

        revision = await hub.deploy("web", sleeper("a"), sleeper("b"))
        await hub.reaches("web", Phase.RUNNING, revision=revision)
        assert host.containers() == before


async def test_an_old_version_that_cannot_be_replaced_is_kept_alive(
    hub: Hub, host: PodmanHost, start_agent: Start, registry: Registry
):
    async with start_agent():
        await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING)
        await hub.deploy("web", sleeper("a", image=registry.reference("busybox:none")))
        await hub.reaches("web", Phase.FAILED, reason="ImageNotFound")
        before = host.containers()

        host.podman("kill", "fleet.web.a")

        async def runs_again() -> bool:
            return bool(inspect(host, "web", "a")["State"]["Running"])

        await eventually(runs_again, "the old container runs again")
    assert host.containers() != before


async def test_a_registry_that_wants_a_password_is_told(
    hub: Hub, start_agent: Start, locked_registry: Registry
):
    async with start_agent():
        await hub.deploy("web", sleeper("a", image=locked_registry.reference("busybox:1")))
        await hub.reaches("web", Phase.FAILED, reason="RegistryUnauthorized")


async def test_a_registry_that_does_not_answer_is_told(hub: Hub, start_agent: Start):
    async with start_agent():
        await hub.deploy("web", sleeper("a", image="127.0.0.1:1/busybox:1"))
        await hub.reaches("web", Phase.FAILED, reason="ImagePullFailed")


@pytest.mark.parametrize(
    ("at", "phase", "reason"),
    [("/v2/", Phase.FAILED, "ImagePullFailed"), (LAYER, Phase.PENDING, "ImagePullSlow")],
)
async def test_a_registry_that_goes_silent_is_told_while_podman_waits_for_it(
    hub: Hub,
    host: PodmanHost,
    start_agent: Start,
    monkeypatch: pytest.MonkeyPatch,
    *,
    at: str,
    phase: Phase,
    reason: str,
):
    monkeypatch.setattr(staging, "_SLOW_SECONDS", 2.0)
    monkeypatch.setattr(staging, "_LOOK_SECONDS", 0.5)
    with silent_registry(host.enter, at) as address:
        async with start_agent():
            await hub.deploy("web", sleeper("a", image=f"{address}/app:1"))
            await hub.reaches("web", phase, reason=reason)
            await hub.withdraw("web")
            await hub.is_gone("web")


async def test_what_is_no_image_reference_is_told(hub: Hub, start_agent: Start):
    async with start_agent():
        for image in ("docker://127.0.0.1/a:1", "127.0.0.1:1//a:v1", "a/../b", "/a", "a/"):
            revision = await hub.deploy("web", sleeper("a", image=image))
            state = await hub.reaches(
                "web", Phase.FAILED, revision=revision, reason="InvalidDesiredState"
            )
            assert state.error
            assert "is not the reference of an image" in state.error.message


async def test_a_reference_that_only_podman_can_tell_is_none_is_told(hub: Hub, start_agent: Start):
    async with start_agent():
        for image in ("a@sha256:abc", "Foo/bar:1", f"127.0.0.1:1/{'a' * 300}"):
            revision = await hub.deploy("web", sleeper("a", image=image))
            await hub.reaches("web", Phase.FAILED, revision=revision, reason="InvalidImage")


async def test_a_foreign_container_of_our_name_is_never_touched(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    host.podman("run", "--detach", "--name=fleet.web.a", "--net=none", IMAGE, "/bin/sleep", "1000")
    before = host.containers()
    async with start_agent():
        await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.FAILED, reason="NameTaken")
        assert host.containers() == before

        await hub.withdraw("web")
        await hub.is_gone("web")
    assert host.containers() == before


async def test_a_port_that_is_held_by_something_else_is_told(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    host.podman("run", "--detach", "--name=squatter", "-p=8090:80", IMAGE, "/bin/sleep", "1000")
    ports = [{"host": 8090, "container": 80}]
    async with start_agent():
        await hub.deploy("web", sleeper("a", ports=ports))
        state = await hub.reaches("web", Phase.FAILED, reason="PortInUse")
        assert state.error
        assert state.error.service == "a"
        assert "port 8090/tcp is taken by container squatter" in state.error.message

        host.podman("rm", "--force", "--time=0", "squatter")
        await hub.reaches("web", Phase.RUNNING)


async def test_a_port_that_another_deployment_has_is_told_with_its_name_until_it_is_free(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        await hub.deploy("web", sleeper("a", ports=[{"host": 8092, "container": 80}]))
        await hub.reaches("web", Phase.RUNNING)
        await hub.deploy("late", sleeper("a", ports=[{"host": 8092, "container": 80}]))
        state = await hub.reaches("late", Phase.FAILED, reason="PortInUse")
        assert state.error
        assert "port 8092/tcp is taken by deployment web" in state.error.message

        await hub.withdraw("web")
        await hub.reaches("late", Phase.RUNNING)


async def test_of_two_deployments_that_come_at_once_one_has_the_port_and_the_other_says_which(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    ports = [{"host": 8093, "container": 80}]
    for name in ("one", "two"):
        await hub.deploy(name, sleeper("a", ports=ports))
    async with start_agent():
        winner = await one_runs(hub, "one", "two")
        loser = {"one": "two", "two": "one"}[winner]
        state = await hub.reaches(loser, Phase.FAILED, reason="PortInUse")
        assert state.error
        assert f"port 8093/tcp is taken by deployment {winner} " in state.error.message
        await hub.withdraw(winner)
        await hub.reaches(loser, Phase.RUNNING)


async def one_runs(hub: Hub, *deployments: str) -> str:
    """Wait until one of them runs."""

    async def look() -> str:
        for name in deployments:
            state = await hub.state(name)
            if state and state.phase is Phase.RUNNING:
                return name
        return ""

    return await eventually(look, f"one of {deployments} runs")


async def test_a_command_that_does_not_exist_is_told_also_where_podman_then_holds_the_port(
    hub: Hub, start_agent: Start
):
    service = {**sleeper("a"), "command": ["/none"], "ports": [{"host": 8091, "container": 80}]}
    async with start_agent():
        await hub.deploy("web", service)
        state = await hub.reaches("web", Phase.FAILED, reason="ContainerFailed")
        assert state.error
        assert "/none" in state.error.message


async def test_a_crash_loop_fails_and_a_new_revision_ends_it_at_once(hub: Hub, start_agent: Start):
    async with start_agent():
        await hub.deploy("web", script("a", "exit 3"), sleeper("b"))
        state = await hub.reaches("web", Phase.FAILED, reason="CrashLoop", within=40)
        assert state.error
        assert state.error.service == "a"
        assert "it exited with 3 soon after its start, 3 times in a row" in state.error.message

        revision = await hub.deploy("web", sleeper("a"), sleeper("b"))
        await hub.reaches("web", Phase.RUNNING, revision=revision, within=30)


async def test_a_crash_loop_that_waits_for_its_next_try_is_withdrawn_at_once(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        await hub.deploy("web", script("a", "exit 3"))
        state = await hub.reaches("web", Phase.FAILED, reason="CrashLoop", within=40)
        assert state.services[0].state == "exited"  # it waits for four seconds at least
        await hub.withdraw("web")
        await hub.is_gone("web", within=3)
        assert "fleet.web.a" not in host.containers()


@pytest.mark.parametrize("policy", ["OnFailure", "Never"])
async def test_a_one_shot_that_ends_well_counts_as_running_and_is_left_alone(
    policy: str, hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        await hub.deploy("job", script("a", "exit 0", restartPolicy=policy), sleeper("b"))

        async def ended() -> bool:
            state = await hub.state("job")
            return state is not None and state.services[0].state == "exited"

        await eventually(ended, "the one-shot has ended")
        await hub.reaches("job", Phase.RUNNING)
        before = host.containers()
        await hub.deploy("job", script("a", "exit 0", restartPolicy=policy), sleeper("b"))
        await hub.reaches("job", Phase.RUNNING)
    assert host.containers()["fleet.job.a"] == before["fleet.job.a"]


async def test_a_one_shot_that_may_not_be_tried_again_fails(hub: Hub, start_agent: Start):
    async with start_agent():
        await hub.deploy("job", script("a", "exit 3", restartPolicy="Never"))
        state = await hub.reaches("job", Phase.FAILED, reason="ContainerExited")
    assert state.error
    assert state.error.message.startswith("it exited with 3, ")


async def test_a_one_shot_that_may_be_tried_again_is_until_it_ends_well(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    # What it wrote is there when it is started again: it is the same container.
    text = "test -f /second || { echo > /second; exit 3; }"
    async with start_agent():
        await hub.deploy("job", script("a", text, restartPolicy="OnFailure"))

        async def has_ended_twice() -> bool:
            state = await hub.state("job")
            return state is not None and [(s.state, s.restarts) for s in state.services] == [
                ("exited", 1)
            ]

        await eventually(has_ended_twice, "it has ended a second time", within=30)
        await hub.reaches("job", Phase.RUNNING)
    assert inspect(host, "job", "a")["State"]["ExitCode"] == 0
