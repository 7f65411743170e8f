"""What a podman leaves that was killed while it made, or began, a container of ours."""

import contextlib
import json
import os
import signal

import pytest

from fleet.agent.runtimes.podman.api.runtime import PodmanRuntime
from fleet.agent.runtimes.port import Status
from fleet.contracts.messages import Phase
from tests.agent_device import Hub
from tests.integration.agent.conftest import Start
from tests.integration.agent.test_deploying import inspect, sleeper
from tests.integration.agent.test_podman import WEB, workload
from tests.podman_host import PodmanHost
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(60)


async def test_a_name_that_half_a_creation_took_is_taken_back(
    host: PodmanHost, runtime: PodmanRuntime
):
    made = workload()
    await runtime.create(made)
    host.leave_storage(made.name)
    assert await runtime.observe(WEB) == ()
    assert "storage" in host.podman("ps", "--all", "--external", "--format={{.Command}}")

    await runtime.create(made)
    await runtime.start(made.name)

    (running,) = await runtime.observe(WEB)
    assert running.status is Status.RUNNING
    assert len(host.podman("ps", "--all", "--external", "--quiet").split()) == 1


async def test_a_container_that_can_never_be_started_is_made_anew(
    hub: Hub, host: PodmanHost, runtime: PodmanRuntime, start_agent: Start
):
    async with start_agent():
        await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING)
    host.podman("stop", "--time=0", "fleet.web.a")
    host.podman("init", "fleet.web.a")
    state = inspect(host, "web", "a")["State"]
    for pid in (state["ConmonPid"], state["Pid"]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    before = json.loads(host.podman("ps", "--all", "--format=json"))
    assert [each["State"] for each in before] == ["initialized"]

    async def is_another() -> bool:
        found = await runtime.observe(WEB)
        return [(c.status, c.id == before[0]["Id"]) for c in found] == [(Status.RUNNING, False)]

    async with start_agent():
        await eventually(is_another, "another container runs")
