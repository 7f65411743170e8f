"""What a deployment becomes on a device: the whole agent over a real podman."""

import json
from typing import Any

import pytest

from fleet.contracts import containers
from fleet.contracts.messages import Phase
from fleet.contracts.names import DeploymentName
from tests.agent_device import Hub
from tests.integration.agent.agent_process import DEVICE
from tests.integration.agent.conftest import Start
from tests.podman_host import IMAGE, PodmanHost
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(60)


def sleeper(name: str, **more: Any) -> dict[str, Any]:
    """A service that does nothing, for long."""
    return {"name": name, "image": IMAGE, "command": ["/bin/sleep"], "args": ["1000"], **more}


def script(name: str, text: str, **more: Any) -> dict[str, Any]:
    """A service that runs *text* in a shell."""
    return {"name": name, "image": IMAGE, "command": ["/bin/sh", "-c"], "args": [text], **more}


def inspect(host: PodmanHost, deployment: str, service: str) -> dict[str, Any]:
    """What podman knows of a container."""
    name = containers.container_name(DeploymentName(deployment), service)
    return dict(json.loads(host.podman("inspect", name))[0])


async def test_a_deployment_runs_and_says_so(hub: Hub, host: PodmanHost, start_agent: Start):
    async with start_agent():
        revision = await hub.deploy("web", sleeper("a"), sleeper("b"))
        state = await hub.reaches("web", Phase.RUNNING, revision=revision)

    assert [(s.name, s.state) for s in state.services] == [("a", "running"), ("b", "running")]
    assert all(s.image.startswith("sha256:") for s in state.services)
    assert state.error is None
    assert set(host.containers()) == {"fleet.web.a", "fleet.web.b"}
    labels = inspect(host, "web", "a")["Config"]["Labels"]
    assert labels[containers.LABEL_DEVICE] == DEVICE
    assert labels[containers.LABEL_DEPLOYMENT] == "web"
    assert labels[containers.LABEL_SERVICE] == "a"
    assert labels[containers.LABEL_DIGEST]


async def test_changing_one_service_leaves_the_other_alone(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        await hub.deploy("web", sleeper("a"), sleeper("b"))
        await hub.reaches("web", Phase.RUNNING)
        before = host.containers()

        revision = await hub.deploy("web", sleeper("a"), sleeper("b", env={"NEW": "1"}))
        await hub.reaches("web", Phase.RUNNING, revision=revision)

    after = host.containers()
    assert after["fleet.web.a"] == before["fleet.web.a"]
    assert after["fleet.web.b"] != before["fleet.web.b"]


async def test_changing_labels_alone_restarts_their_service_alone(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        await hub.deploy("web", sleeper("a"), sleeper("b"))
        await hub.reaches("web", Phase.RUNNING)
        before = host.containers()

        revision = await hub.deploy("web", sleeper("a"), sleeper("b", labels={"team": "web"}))
        await hub.reaches("web", Phase.RUNNING, revision=revision)

    after = host.containers()
    assert after["fleet.web.a"] == before["fleet.web.a"]
    assert after["fleet.web.b"] != before["fleet.web.b"]
    assert inspect(host, "web", "b")["Config"]["Labels"]["team"] == "web"


async def test_a_service_that_is_dropped_is_removed(hub: Hub, host: PodmanHost, start_agent: Start):
    async with start_agent():
        await hub.deploy("web", sleeper("a"), sleeper("b"))
        await hub.reaches("web", Phase.RUNNING)
        revision = await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING, revision=revision)
    assert set(host.containers()) == {"fleet.web.a"}


async def test_a_delete_marker_removes_the_containers_and_then_the_state(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        await hub.deploy("web", sleeper("a"))
        await hub.deploy("other", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING)
        await hub.reaches("other", Phase.RUNNING)

        await hub.withdraw("web")
        await hub.is_gone("web")
        assert set(host.containers()) == {"fleet.other.a"}


async def test_a_marker_for_what_never_ran_is_answered_too(hub: Hub, start_agent: Start):
    await hub.withdraw("web")
    async with start_agent():
        await hub.is_gone("web")


async def test_a_deployment_can_come_back_after_its_removal(hub: Hub, start_agent: Start):
    async with start_agent():
        await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING)
        await hub.withdraw("web")
        await hub.is_gone("web")
        await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING)


async def test_an_agent_that_restarts_touches_no_container(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        revision = await hub.deploy("web", sleeper("a"), sleeper("b"))
        first = await hub.reaches("web", Phase.RUNNING, revision=revision)
    before = host.containers()

    async with start_agent():

        async def said_again() -> bool:
            state = await hub.state("web")
            return state is not None and state.updated_at != first.updated_at

        await eventually(said_again, "the new agent reports")
        await hub.reaches("web", Phase.RUNNING, revision=revision)
    assert host.containers() == before


async def test_command_arguments_and_environment_reach_the_process(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    text = 'echo "$GREETING $0 $1"; sleep 1000'
    service = script("a", text, env={"GREETING": "hello"})
    service["args"] += ["zero", "one"]
    async with start_agent():
        await hub.deploy("web", service)
        await hub.reaches("web", Phase.RUNNING)

        async def said() -> bool:
            return "hello zero one" in host.podman("logs", "fleet.web.a")

        await eventually(said, "the process prints its environment and arguments")


async def test_published_ports_answer(hub: Hub, host: PodmanHost, start_agent: Start):
    page = "mkdir -p /www && echo it works > /www/index.html; exec httpd -f -p 80 -h /www"
    page = page.replace("mkdir", "busybox mkdir")
    ports = [
        {"host": 8080, "container": 80},
        {"host": 8081, "container": 80, "hostIp": "127.0.0.1"},
    ]
    async with start_agent():
        await hub.deploy("web", script("a", page, ports=ports))
        await hub.reaches("web", Phase.RUNNING)

        async def answers() -> bool:
            pages = [
                host.run("busybox", "wget", "-qO-", f"http://127.0.0.1:{port}/", check=False)
                for port in (8080, 8081)
            ]
            return pages == ["it works", "it works"]

        await eventually(answers, "both ports answer")


async def test_network_modes_are_as_asked(hub: Hub, host: PodmanHost, start_agent: Start):
    async with start_agent():
        await hub.deploy(
            "web",
            sleeper("host", networkMode="host"),
            sleeper("none", networkMode="none"),
            sleeper("own"),
        )
        await hub.reaches("web", Phase.RUNNING)
    modes = {
        s: inspect(host, "web", s)["HostConfig"]["NetworkMode"] for s in ("host", "none", "own")
    }
    assert modes == {"host": "host", "none": "none", "own": "bridge"}


async def test_podmans_own_restart_policy_is_off(hub: Hub, host: PodmanHost, start_agent: Start):
    async with start_agent():
        await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING)
    assert inspect(host, "web", "a")["HostConfig"]["RestartPolicy"]["Name"] in ("", "no")


async def test_two_deployments_know_nothing_of_each_other(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        await hub.deploy("one", sleeper("a"))
        await hub.deploy("two", sleeper("a", image="localhost/none:1", pullPolicy="Never"))
        await hub.reaches("one", Phase.RUNNING)
        await hub.reaches("two", Phase.FAILED, reason="ImageNotFound")
    assert set(host.containers()) == {"fleet.one.a"}
