"""Health checks driven by the agent: the whole agent over a real podman."""

from typing import Any

import pytest

from fleet.contracts.messages import Phase
from tests.agent_device import Hub
from tests.integration.agent.conftest import Start
from tests.integration.agent.test_deploying import inspect, script, sleeper
from tests.podman_host import PodmanHost
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(60)

WELL = ["/bin/sh", "-c", "test -f /well || { echo not well; exit 1; }"]
HANG = ["/bin/sleep", "987"]


def checked(name: str, command: list[str], **more: Any) -> dict[str, Any]:
    """A service that is well from its start, and checked every second."""
    check = {"command": command, "interval": 1, "timeout": 15, "retries": 2}
    healthcheck = check | more.pop("healthcheck", {})
    more.setdefault("text", "echo > /well; sleep 1000")
    return script(name, more.pop("text"), healthcheck=healthcheck, **more)


def make(host: PodmanHost, service: str, *, well: bool) -> None:
    """Let a service be well, or not."""
    command = ["touch", "/well"] if well else ["rm", "/well"]
    host.podman("exec", f"fleet.web.{service}", "/bin/busybox", *command)


def started(host: PodmanHost, service: str) -> str:
    """When a container started last."""
    return str(inspect(host, "web", service)["State"]["StartedAt"])


async def test_a_deployment_runs_once_its_check_has_passed(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    late = checked("a", WELL, text="sleep 1000", healthcheck={"startPeriod": 300})
    async with start_agent():
        await hub.deploy("web", late)

        async def starts() -> bool:
            state = await hub.state("web")
            return state is not None and state.services[0].state == "starting"

        async def has_failed() -> bool:
            return bool(inspect(host, "web", "a")["State"]["Health"]["Log"])

        await eventually(starts, "it runs, and starts")
        await eventually(has_failed, "podman has run a check")
        await hub.reaches("web", Phase.PENDING)
        make(host, "a", well=True)
        await hub.reaches("web", Phase.RUNNING)
    assert "(healthy)" in host.podman("ps", "--format={{.Status}}")


async def test_a_service_that_falls_ill_is_told_with_its_output_restarted_and_well_again(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        await hub.deploy("web", checked("a", WELL), sleeper("b"))
        await hub.reaches("web", Phase.RUNNING)
        before, first = host.containers(), started(host, "a")
        make(host, "a", well=False)
        state = await hub.reaches("web", Phase.FAILED, reason="Unhealthy")
        assert state.error
        assert (state.error.service, "not well" in state.error.message) == ("a", True)
        await hub.reaches("web", Phase.RUNNING)
        assert started(host, "a") != first
        assert host.containers()["fleet.web.b"] == before["fleet.web.b"]


async def test_a_service_that_never_restarts_stays_as_it_is_and_recovers_by_itself(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        await hub.deploy("web", checked("a", WELL, restartPolicy="Never"))
        await hub.reaches("web", Phase.RUNNING)
        first = started(host, "a")
        make(host, "a", well=False)
        await hub.reaches("web", Phase.FAILED, reason="Unhealthy")
        make(host, "a", well=True)
        await hub.reaches("web", Phase.RUNNING)
        assert started(host, "a") == first


async def test_a_check_that_hangs_is_ended_at_its_timeout_and_has_failed(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    service = checked("a", HANG, restartPolicy="Never", healthcheck={"timeout": 1, "interval": 2})
    async with start_agent():
        await hub.deploy("web", service, checked("b", WELL))
        state = await hub.reaches("web", Phase.FAILED, reason="Unhealthy", within=30)
        assert state.error
        assert "did not end within 1 s" in state.error.message
        assert [s.state for s in state.services] == ["unhealthy", "running"]

        async def is_ended() -> bool:
            return " ".join(HANG) not in host.podman("top", "fleet.web.a", "args")

        await eventually(is_ended, "no process of a check is left")


async def test_an_agent_that_restarts_leaves_a_healthy_container_alone_and_tells_nothing_else(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        revision = await hub.deploy("web", checked("a", WELL))
        await hub.reaches("web", Phase.RUNNING)
    before = host.containers()
    phases = set()

    def last_check() -> str:
        """When podman says that the last check began; of how many there were it keeps five."""
        return max(
            (check["Start"] for check in inspect(host, "web", "a")["State"]["Health"]["Log"]),
            default="",
        )

    checked_before = last_check()
    async with start_agent():

        async def checked_again() -> bool:
            state = await hub.state("web")
            assert state
            if state.revision == revision:
                phases.add(state.phase)
            return last_check() > checked_before

        await eventually(checked_again, "the new agent checks")
    assert phases == {Phase.RUNNING}
    assert host.containers() == before


async def test_a_pull_that_fails_leaves_a_checked_service_as_it_is(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        await hub.deploy("web", checked("a", WELL), checked("b", WELL))
        await hub.reaches("web", Phase.RUNNING)
        before = host.containers()
        missing = checked("b", WELL, image="localhost/none:1", pullPolicy="Never")
        await hub.deploy("web", checked("a", WELL), missing)
        await hub.reaches("web", Phase.FAILED, reason="ImageNotFound")
        assert host.containers() == before
        revision = await hub.deploy("web", checked("a", WELL), checked("b", WELL, env={"NEW": "1"}))
        await hub.reaches("web", Phase.RUNNING, revision=revision)
    after = host.containers()
    assert after["fleet.web.a"] == before["fleet.web.a"]
    assert after["fleet.web.b"] != before["fleet.web.b"]


async def test_a_program_that_is_not_in_the_container_is_named_and_leaves_nothing(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        await hub.deploy("web", checked("a", ["uptime"], restartPolicy="Never"))
        state = await hub.reaches("web", Phase.FAILED, reason="Unhealthy")
        assert state.error
        assert "uptime is not in the container; correct" in state.error.message
        assert inspect(host, "web", "a")["ExecIDs"] == []

        link = ("ln", "-s", "busybox", "/bin/uptime")
        host.podman("exec", "fleet.web.a", "/bin/busybox", *link)
        await hub.reaches("web", Phase.RUNNING)
