"""Health checks in the agent's life, in virtual time: what is told, and what is restarted."""

import asyncio
from typing import Any

import pytest

from fleet import errors
from fleet.agent.runtimes.port import Result
from fleet.bus.memory import MemoryServer
from fleet.contracts.messages import Phase
from tests import virtual_time
from tests.agent_device import Hub
from tests.unit.agent.deployments.test_loop import DEVICE, app, device, holds, play
from tests.unit.agent.world import FakeRuntime, name

FAIL = Result(passed=False, output="connection refused")


def checked(service: str, **more: Any) -> dict[str, Any]:
    """A service with a check every ten seconds."""
    check = {"command": ["/check"], "interval": 10, "timeout": 5, "retries": 3}
    return app(service, healthcheck=check | more.pop("healthcheck", {}), **more)


def restarts(runtime: FakeRuntime) -> int:
    """How often `a` was restarted."""
    return runtime.calls.count(f"restart {name('a')}")


def test_a_deployment_is_pending_until_its_check_has_passed():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        runtime.health[name("a")] = FAIL
        await hub.deploy("web", checked("a", healthcheck={"startPeriod": 60}))
        await hub.reaches("web", Phase.PENDING)
        await asyncio.sleep(30)
        state = await hub.reaches("web", Phase.PENDING)
        assert state.services[0].state == "starting"
        del runtime.health[name("a")]
        state = await hub.reaches("web", Phase.RUNNING, within=5)
        assert state.services[0].state == "running"
        assert restarts(runtime) == 0

    play(scenario)


def test_a_check_that_fails_as_often_as_it_may_is_told_with_its_output_until_it_passes():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", checked("a", restartPolicy="Never"))
        await hub.reaches("web", Phase.RUNNING)
        runtime.health[name("a")] = FAIL
        state = await hub.reaches("web", Phase.FAILED, reason="Unhealthy", within=60)
        assert state.error
        assert state.error.service == "a"
        assert "connection refused" in state.error.message
        assert state.services[0].state == "unhealthy"
        del runtime.health[name("a")]
        await hub.reaches("web", Phase.RUNNING, within=40)
        assert restarts(runtime) == 0

    play(scenario)


def test_an_unhealthy_container_is_restarted_ever_more_rarely_and_stays_failed_meanwhile():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        phases = set()
        await hub.deploy("web", checked("a", healthcheck={"interval": 1, "retries": 1}))
        await hub.reaches("web", Phase.RUNNING)
        runtime.health[name("a")] = FAIL
        await hub.reaches("web", Phase.FAILED, reason="Unhealthy")
        for _n in range(600):
            await asyncio.sleep(1)
            state = await hub.state("web")
            assert state
            phases.add(state.phase)
        assert phases == {Phase.FAILED}
        assert 8 <= restarts(runtime) <= 20
        del runtime.health[name("a")]
        await hub.reaches("web", Phase.RUNNING, within=60)

    play(scenario)


def test_a_new_version_has_to_pass_the_check_itself():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        patient = {"startPeriod": 300}
        await hub.deploy("web", checked("a", healthcheck=patient))
        await hub.reaches("web", Phase.RUNNING)
        runtime.health[name("a")] = FAIL
        revision = await hub.deploy("web", checked("a", healthcheck=patient, env={"NEW": "1"}))
        await hub.reaches("web", Phase.PENDING, revision=revision)
        await asyncio.sleep(60)
        await hub.reaches("web", Phase.PENDING, revision=revision)
        del runtime.health[name("a")]
        await hub.reaches("web", Phase.RUNNING, revision=revision)

    play(scenario)


def test_a_check_that_hangs_delays_neither_another_service_nor_another_deployment():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        probe = runtime.probe

        async def hanging_probe(container: str, within: float) -> Result:
            if container == name("a"):
                await asyncio.sleep(within)
                return Result(passed=False, output="it did not end")
            return await probe(container, within)

        runtime.probe = hanging_probe  # type: ignore[method-assign]  # a spy on our own fake
        await hub.deploy("web", checked("a"), checked("b"))
        await hub.deploy("other", checked("a"))
        await hub.reaches("other", Phase.RUNNING, within=3)
        await holds(lambda: (name("b"), 5.0) in runtime.probes, "b is checked", within=3)
        await hub.reaches("web", Phase.FAILED, reason="Unhealthy", within=90)

    play(scenario)


def test_a_restarted_agent_tells_nothing_else_of_a_healthy_and_of_an_unhealthy_service():
    async def scenario() -> None:
        runtime, server = FakeRuntime(), MemoryServer()
        hub = Hub(server.connect(), DEVICE)
        runtime.health[name("a", "bad")] = FAIL
        async with device(runtime, server):
            await hub.deploy("web", checked("a"))
            await hub.deploy("bad", checked("a", restartPolicy="Never"))
            await hub.reaches("web", Phase.RUNNING)
            await hub.reaches("bad", Phase.FAILED, reason="Unhealthy", within=60)
        runtime.calls.clear()
        told: set[tuple[str, str]] = set()
        async with device(runtime, server):
            for _ in range(600):
                for deployment in ("web", "bad"):
                    state = await hub.state(deployment)
                    assert state
                    if state.revision:
                        told.add((deployment, state.phase))
                await asyncio.sleep(0.1)
        assert told == {("web", "Running"), ("bad", "Failed")}
        assert runtime.calls == []

    virtual_time.run(scenario())


def test_a_check_that_cannot_be_made_says_nothing_of_the_service():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", checked("a"))
        await hub.reaches("web", Phase.RUNNING)
        runtime.failures[f"probe {name('a')}"] = errors.ContainerFailed("no such container")
        await asyncio.sleep(120)
        await hub.reaches("web", Phase.RUNNING)
        assert restarts(runtime) == 0

    play(scenario)


@pytest.mark.parametrize(
    "failure",
    [errors.ContainerFailed("no such container"), AttributeError("a bug of ours")],
    ids=["refused", "bug"],
)
def test_a_restarted_agent_whose_first_check_cannot_be_made_does_not_wait_with_what_it_tells(
    failure: Exception,
):
    """podman remembers that it was unhealthy, and no check will ever say whether it still is."""

    async def scenario() -> None:
        runtime, server = FakeRuntime(), MemoryServer()
        hub = Hub(server.connect(), DEVICE)
        runtime.health[name("a")] = FAIL
        async with device(runtime, server):
            await hub.deploy("web", checked("a", restartPolicy="Never"))
            await hub.reaches("web", Phase.FAILED, reason="Unhealthy", within=60)
        runtime.failures[f"probe {name('a')}"] = failure
        async with device(runtime, server):
            state = await hub.reaches("web", Phase.PENDING, within=30)
            assert state.services[0].state == "starting"

    virtual_time.run(scenario())


def test_a_service_that_dies_before_its_check_ever_passed_backs_off():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        runtime.health[name("a")] = FAIL
        await hub.deploy("web", checked("a", healthcheck={"startPeriod": 3600}))
        await holds(lambda: runtime.running() == {name("a")}, "it runs")
        for _n in range(3):
            runtime.kill(name("a"), after=20)
            await holds(lambda: runtime.running() == {name("a")}, "it runs again", within=60)
        await hub.reaches("web", Phase.FAILED, reason="CrashLoop")

    play(scenario)


def test_a_withdrawal_amid_the_restart_of_an_unhealthy_service_waits_for_one_stop_at_most():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        runtime.stop_seconds = 60
        await hub.deploy("web", checked("a"))
        await hub.reaches("web", Phase.RUNNING)
        runtime.health[name("a")] = FAIL
        await holds(lambda: restarts(runtime) == 1, "it is being restarted", within=60)
        await hub.withdraw("web")
        await hub.is_gone("web", within=62)
        assert not runtime.world.containers

    play(scenario)
