"""The agent over a strict world and a hub in memory, in virtual time."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from fleet import errors
from fleet.agent.deployments.loop import Rhythm
from fleet.agent.runtimes.port import Container, Transfer
from fleet.bus.memory import MemoryServer
from fleet.contracts import messages
from fleet.contracts.messages import Phase
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.contracts.permissions import device_permissions
from tests import virtual_time
from tests.agent_device import OWNER, Hub, running_agent
from tests.unit.agent.world import FakeRuntime, World, container, name
from tests.waiting import eventually

DEVICE = DeviceId("dev-01")

Scenario = Callable[[FakeRuntime, Hub, MemoryServer], Awaitable[None]]


def app(service: str, **more: Any) -> dict[str, Any]:
    """A service."""
    return {"name": service, "image": "app:1", **more}


@contextlib.asynccontextmanager
async def device(
    runtime: FakeRuntime, server: MemoryServer, *, resync: float = 20.0
) -> AsyncIterator[None]:
    """An agent with its device's rights."""
    bus = server.connect(device_permissions(DEVICE))
    rhythm = Rhythm(resync=resync)
    async with bus, running_agent(DEVICE, runtime, bus, rhythm=rhythm):
        yield


def play(scenario: Scenario, runtime: FakeRuntime | None = None) -> None:
    """Run *scenario* against a device that is up."""

    async def stage() -> None:
        server = MemoryServer()
        made = runtime or FakeRuntime()
        async with device(made, server):
            await scenario(made, Hub(server.connect(), DEVICE), server)

    virtual_time.run(stage())


async def holds(claim: Callable[[], bool], what: str, *, within: float = 15.0) -> None:
    """Wait until *claim* is true."""

    async def look() -> bool:
        return claim()

    await eventually(look, what, within=within)


def test_the_hub_hears_of_a_deployment_before_any_container_is_made():
    async def scenario(runtime: FakeRuntime, hub: Hub, server: MemoryServer) -> None:
        server.stop()
        server.start()
        heard: list[bool] = []
        create = runtime.create

        async def watched_create(workload: Any) -> None:
            heard.append(await hub.state("web") is not None)
            await create(workload)

        runtime.create = watched_create  # type: ignore[method-assign]  # a spy on our own fake
        await hub.deploy("web", app("a"), app("b"))
        await hub.reaches("web", Phase.RUNNING)
        assert heard == [True, True]

    play(scenario)


def test_no_container_is_made_while_the_hub_does_not_hear():
    async def scenario() -> None:
        runtime, server = FakeRuntime(), MemoryServer()
        hub = Hub(server.connect(), DEVICE)
        rights = device_permissions(DEVICE)
        deaf = replace(rights, publish=tuple(p for p in rights.publish if "device-state" not in p))
        async with server.connect(deaf) as bus, running_agent(DEVICE, runtime, bus):
            await hub.deploy("web", app("a"))
            await holds(lambda: "fetch app:1" in runtime.calls, "the image is fetched")
            await asyncio.sleep(60)
            assert not runtime.world.containers
            await hub.withdraw("web")
            await asyncio.sleep(60)

    virtual_time.run(scenario())


def test_newer_intent_overtakes_a_slow_pull():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        runtime.pulls["slow:1"] = asyncio.Event()
        await hub.deploy("web", app("a", image="slow:1"))
        await holds(lambda: "fetch slow:1" in runtime.calls, "the slow pull has begun")
        revision = await hub.deploy("web", app("a", image="fast:1"))
        await hub.reaches("web", Phase.RUNNING, revision=revision, within=3)
        assert runtime.broken_off == ["slow:1"]

    play(scenario)


def test_a_slow_pull_of_one_deployment_does_not_delay_another():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        runtime.pulls["slow:1"] = asyncio.Event()
        await hub.deploy("slow", *(app(f"s{n}", image="slow:1") for n in range(5)))
        await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.RUNNING, within=3)
        state = await hub.reaches("slow", Phase.PENDING)
        assert {service.state for service in state.services} == {"pulling"}

    play(scenario)


def test_a_registry_that_says_nothing_is_told_within_a_minute_and_still_asked():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        runtime.pulls["far:1"] = asyncio.Event()
        runtime.transfers["far:1"] = Transfer(asyncio.get_running_loop().time())
        await hub.deploy("web", app("a", image="far:1"))
        state = await hub.reaches("web", Phase.FAILED, reason="ImagePullFailed", within=60)
        assert state.error
        assert "far:1 did not come: its registry has not answered" in state.error.message

        runtime.transfers["far:1"].is_answered = True
        state = await hub.reaches("web", Phase.PENDING, reason="ImagePullSlow", within=20)
        assert [service.state for service in state.services] == ["pulling"]
        assert not runtime.broken_off

        runtime.pulls["far:1"].set()
        await hub.reaches("web", Phase.RUNNING)

    play(scenario)


def test_an_image_that_waits_for_others_is_pending_with_a_reason_within_a_minute():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        for image in ("one:1", "two:1"):
            runtime.pulls[image] = asyncio.Event()
            runtime.transfers[image] = Transfer(0.0, is_answered=True)
        await hub.deploy("web", app("a"), app("b", image="one:1"), app("c", image="two:1"))
        await hub.reaches("web", Phase.PENDING, reason="ImagePullSlow", within=60)
        await asyncio.sleep(600)
        state = await hub.reaches("web", Phase.PENDING, reason="ImagePullSlow")
        told = state.updated_at
        await asyncio.sleep(600)
        state = await hub.reaches("web", Phase.PENDING, reason="ImagePullSlow")
        assert state.updated_at == told

    play(scenario)


def test_what_the_device_refuses_leaves_the_version_before_and_what_runs_already():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"), app("b"))
        await hub.reaches("web", Phase.RUNNING)
        before = dict(runtime.world.containers)
        refusal = errors.HostPathForbidden("not /var", element="a")
        runtime.failures[f"check {name('a')}"] = refusal
        await asyncio.sleep(60)
        assert runtime.world.containers == before

        revision = await hub.deploy("web", app("a", image="new:1"), app("b"))
        state = await hub.reaches(
            "web", Phase.FAILED, revision=revision, reason="HostPathForbidden"
        )
        assert state.error
        assert (state.error.service, state.error.message) == ("a", "not /var")
        assert runtime.world.containers == before
        assert "fetch new:1" not in runtime.calls

    play(scenario)


def test_the_old_version_is_kept_alive_while_the_new_image_is_on_its_way():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.RUNNING)
        runtime.pulls["slow:1"] = asyncio.Event()
        revision = await hub.deploy("web", app("a", image="slow:1"))
        await hub.reaches("web", Phase.PENDING, revision=revision)
        runtime.kill(name("a"))
        await holds(lambda: runtime.running() == {name("a")}, "the old version runs again")
        runtime.pulls["slow:1"].set()
        await hub.reaches("web", Phase.RUNNING, revision=revision)

    play(scenario)


def test_newer_intent_does_not_wait_for_the_backoff_of_the_older():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        runtime.failures["gone:1"] = errors.ImageNotFound("no such image")
        await hub.deploy("web", app("a", image="gone:1"))
        await hub.reaches("web", Phase.FAILED, reason="ImageNotFound")
        await asyncio.sleep(300)
        revision = await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.RUNNING, revision=revision, within=3)

    play(scenario)


async def falls_over(runtime: FakeRuntime, hub: Hub, container: str) -> None:
    """Let a service of *web* die until it is started once a minute."""
    runtime.dies[container] = 3
    await hub.reaches("web", Phase.FAILED, reason="CrashLoop", within=60)
    await asyncio.sleep(300)


def test_a_withdrawal_does_not_wait_for_the_backoff_of_a_crash_loop():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"))
        await falls_over(runtime, hub, name("a"))
        await hub.withdraw("web")
        await hub.is_gone("web", within=2)
        assert not runtime.world.containers

    play(scenario)


@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        (f"start {name('a')}", errors.PortInUse("taken")),
        (f"create {name('a')}", errors.ContainerFailed("no such command")),
        ("app:1", errors.ImageNotFound("no such image")),
        ("app:1", errors.ImagePullFailed("no such host")),
    ],
)
def test_a_withdrawal_does_not_wait_for_the_backoff_of_what_failed(
    failing: str, reason: errors.FleetError
):
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        runtime.failures[failing] = reason
        await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.FAILED, reason=reason.reason)
        await asyncio.sleep(300)
        await hub.withdraw("web")
        await hub.is_gone("web", within=2)
        assert not runtime.world.containers

    play(scenario)


def test_a_service_that_falls_over_and_that_the_next_version_has_not_goes_at_once():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"), app("b"))
        await falls_over(runtime, hub, name("a"))
        revision = await hub.deploy("web", app("b"))
        await hub.reaches("web", Phase.RUNNING, revision=revision, within=2)
        assert set(runtime.world.containers) == {name("b")}

    play(scenario)


def test_while_the_next_version_is_on_its_way_what_falls_over_keeps_its_backoff():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"), app("b"))
        await falls_over(runtime, hub, name("a"))
        runtime.pulls["slow:1"] = asyncio.Event()
        await hub.deploy("web", app("b", image="slow:1"))
        runtime.calls.clear()
        await asyncio.sleep(300)
        assert 3 <= runtime.calls.count(f"start {name('a')}") <= 10

    play(scenario)


def test_a_container_that_will_not_go_is_tried_ever_more_rarely_and_at_once_for_newer_intent():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"), app("b"))
        await hub.reaches("web", Phase.RUNNING)
        runtime.failures[f"remove {name('a')}"] = errors.ContainerFailed("it won't go")
        await hub.deploy("web", app("b"))
        await asyncio.sleep(600)
        assert 8 <= runtime.calls.count(f"remove {name('a')}") <= 25
        runtime.failures.clear()
        await hub.withdraw("web")
        await hub.is_gone("web", within=2)

    play(scenario)


def test_a_retry_succeeds_by_itself_once_the_reason_is_gone():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        runtime.failures[f"start {name('a')}"] = errors.PortInUse("taken")
        await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.FAILED, reason="PortInUse")
        del runtime.failures[f"start {name('a')}"]
        await hub.reaches("web", Phase.RUNNING, within=120)

    play(scenario)


def test_failed_starts_are_tried_ever_more_rarely():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        runtime.failures[f"start {name('a')}"] = errors.ContainerFailed("no such command")
        await hub.deploy("web", app("a"))
        await asyncio.sleep(600)
        tries = runtime.calls.count(f"start {name('a')}")
        assert 8 <= tries <= 25

    play(scenario)


def test_a_service_that_dies_after_a_while_is_started_at_once():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.RUNNING)
        await asyncio.sleep(100)
        runtime.kill(name("a"), after=100)
        await holds(lambda: runtime.running() == {name("a")}, "it runs again", within=0.5)
        state = await hub.reaches("web", Phase.RUNNING)
        assert state.services[0].state == "running"

    play(scenario)


def test_a_crash_loop_fails_is_written_rarely_and_ends_when_it_settles():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        runtime.dies[name("a")] = 3
        await hub.deploy("web", app("a"), app("b"))
        state = await hub.reaches("web", Phase.FAILED, reason="CrashLoop", within=60)
        assert state.error
        assert state.error.service == "a"
        before = await last_revision(hub)
        await asyncio.sleep(600)
        assert await last_revision(hub) - before <= 600 / 30
        assert runtime.calls.count(f"start {name('a')}") <= 25
        assert name("b") in runtime.running()

        runtime.dies.clear()
        await hub.reaches("web", Phase.RUNNING, within=120)

    play(scenario)


def test_an_agent_that_is_restarted_in_a_crash_loop_does_not_start_it_at_once():
    async def scenario() -> None:
        runtime, server = FakeRuntime(), MemoryServer()
        hub = Hub(server.connect(), DEVICE)
        runtime.dies[name("a")] = 3
        async with device(runtime, server):
            await hub.deploy("web", app("a"))
            await hub.reaches("web", Phase.FAILED, reason="CrashLoop", within=60)
        runtime.calls.clear()
        for _life in range(10):
            async with device(runtime, server):
                await asyncio.sleep(0.5)
        assert runtime.calls == []

    virtual_time.run(scenario())


async def last_revision(hub: Hub) -> int:
    """How many writes the bucket of states has seen."""
    entry = await hub.states.get("state.dev-01.web")
    assert entry is not None
    return entry.revision


def test_a_container_that_vanishes_without_an_event_is_made_again_by_the_resync():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.RUNNING)
        runtime.world.remove(name("a"))
        await holds(lambda: runtime.running() == {name("a")}, "it is back", within=31)

    play(scenario)


def test_a_pass_that_finds_everything_right_writes_nothing():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.RUNNING)
        await asyncio.sleep(5)
        before, calls = await last_revision(hub), len(runtime.calls)
        await asyncio.sleep(600)
        assert await last_revision(hub) == before
        assert len(runtime.calls) == calls

    play(scenario)


def test_an_unavailable_runtime_leaves_what_was_said_and_is_told_as_a_problem():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.RUNNING)
        runtime.is_down = True
        await has_problems(hub, ["RuntimeUnavailable"])
        state = await hub.state("web")
        assert state
        assert state.phase is Phase.RUNNING

        revision = await hub.deploy("web", app("a", env={"NEW": "1"}))
        await hub.reaches("web", Phase.PENDING, revision=revision, reason="RuntimeUnavailable")
        runtime.is_down = False
        await hub.reaches("web", Phase.RUNNING, revision=revision, within=30)
        await has_problems(hub, [])

    play(scenario)


async def has_problems(hub: Hub, reasons: list[str]) -> None:
    """Wait until the device tells of exactly these problems."""

    async def look() -> bool:
        info = await hub.info()
        return info is not None and [p.reason for p in info.problems] == reasons

    await eventually(look, f"the problems are {reasons}", within=60)


def test_a_runtime_that_is_not_there_at_start_is_waited_for():
    runtime = FakeRuntime()
    runtime.is_down = True

    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"))
        await has_problems(hub, ["RuntimeUnavailable"])
        runtime.is_down = False
        await hub.reaches("web", Phase.RUNNING, within=30)

    play(scenario, runtime)


class Watched(FakeRuntime):
    """Notes when somebody looks: at all containers, or at those of one deployment."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[tuple[float, DeploymentName | None]] = []

    async def observe(self, deployment: DeploymentName | None = None) -> tuple[Container, ...]:
        self.looks.append((asyncio.get_running_loop().time(), deployment))
        return await super().observe(deployment)

    def pauses(self, deployment: DeploymentName | None) -> list[float]:
        """List how long nobody looked, between the looks."""
        times = [at for at, of in self.looks if of == deployment]
        return [after - before for before, after in pairwise(times)]


def test_a_runtime_that_is_not_there_at_start_is_asked_ever_more_rarely():
    runtime = Watched()
    runtime.is_down = True

    async def scenario(_: FakeRuntime, __: Hub, ___: MemoryServer) -> None:
        await asyncio.sleep(300)
        assert len(runtime.pauses(None)) < 50
        assert runtime.pauses(None)[-1] >= 5

    play(scenario, runtime)


def test_a_deployment_that_nothing_happens_to_is_looked_at_at_intervals_of_chance():
    """Else all that began at one instant would be looked at together for ever."""
    runtime = Watched()

    async def scenario(_: FakeRuntime, hub: Hub, __: MemoryServer) -> None:
        await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.RUNNING)
        runtime.looks.clear()
        await asyncio.sleep(400)
        pauses = runtime.pauses(DeploymentName("web"))
        assert len(pauses) >= 10
        assert all(15 <= pause <= 25.1 for pause in pauses)
        assert max(pauses) - min(pauses) > 0.5

    play(scenario, runtime)


def test_a_container_without_a_desired_key_is_kept_alive_and_told():
    runtime = FakeRuntime(World.of([container("a", deployment="old")]))

    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        state = await hub.reaches("old", Phase.RUNNING)
        assert state.revision == ""
        runtime.kill(name("a", "old"))
        await holds(lambda: runtime.running() == {name("a", "old")}, "it runs again")
        assert not [call for call in runtime.calls if call.startswith("remove")]

    play(scenario, runtime)


def test_a_wiped_hub_stops_nothing_and_hears_the_state_again():
    async def scenario(runtime: FakeRuntime, hub: Hub, server: MemoryServer) -> None:
        revision = await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.RUNNING)
        server.drop_buckets()
        server.make_buckets()
        await hub.reaches("web", Phase.RUNNING, revision=revision, within=60)
        await eventually(hub.info, "the device describes itself again")
        assert runtime.running() == {name("a")}

    play(scenario)


def test_a_restarted_agent_touches_nothing_that_is_right():
    async def scenario() -> None:
        runtime, server = FakeRuntime(), MemoryServer()
        hub = Hub(server.connect(), DEVICE)
        async with device(runtime, server):
            await hub.deploy("web", app("a"), app("b"))
            await hub.reaches("web", Phase.RUNNING)
        before = dict(runtime.world.containers)
        runtime.calls.clear()
        async with device(runtime, server):
            await asyncio.sleep(60)
            await hub.reaches("web", Phase.RUNNING)
        assert runtime.world.containers == before
        assert runtime.calls == []

    virtual_time.run(scenario())


def test_an_unknown_field_is_refused_by_name_and_the_previous_revision_kept_running():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.RUNNING)
        revision = await hub.deploy("web", app("a", gpu=True))
        state = await hub.reaches("web", Phase.FAILED, reason="UnsupportedScore", revision=revision)
        assert state.error
        assert "gpu" in state.error.message

        runtime.world.remove(name("a"))
        await holds(lambda: runtime.running() == {name("a")}, "it is made again", within=40)
        revision = await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.RUNNING, revision=revision)

    play(scenario)


def test_bytes_that_are_no_desired_state_are_told_and_stop_nothing():
    async def scenario(runtime: FakeRuntime, hub: Hub, server: MemoryServer) -> None:
        await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.RUNNING)
        server.write_raw("desired-state", hub.key("web"), b"not json")
        await hub.reaches("web", Phase.FAILED, reason="InvalidDesiredState")
        assert runtime.running() == {name("a")}

    play(scenario)


def test_a_withdrawn_deployment_is_removed_even_while_its_image_is_on_its_way():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        runtime.pulls["slow:1"] = asyncio.Event()
        await hub.deploy("web", app("a"), app("b", image="slow:1"))
        await holds(lambda: "fetch slow:1" in runtime.calls, "the slow pull has begun")
        await hub.withdraw("web")
        await hub.is_gone("web")
        assert not runtime.world.containers
        assert runtime.broken_off == ["slow:1"]

    play(scenario)


def test_the_state_key_stays_until_the_last_container_is_gone():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.RUNNING)
        runtime.failures[f"remove {name('a')}"] = errors.ContainerFailed("it won't go")
        await hub.withdraw("web")
        await asyncio.sleep(60)
        assert await hub.state("web") is not None
        runtime.failures.clear()
        await hub.is_gone("web", within=90)
        assert not runtime.world.containers

    play(scenario)


def test_a_marker_that_is_replayed_is_answered_again():
    async def scenario(_: FakeRuntime, hub: Hub, server: MemoryServer) -> None:
        await hub.withdraw("web")
        await hub.is_gone("web")
        await hub.bus.bucket(messages.DEVICE_STATE).purge("state.dev-01.web")
        server.stop()
        server.start()
        await hub.is_gone("web", within=60)

    play(scenario)


def test_intent_that_returns_while_the_containers_go_is_not_lost():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        for _n in range(20):
            await hub.deploy("web", app("a"))
            await hub.withdraw("web")
            await asyncio.sleep(0.01)
        revision = await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.RUNNING, revision=revision, within=30)
        assert runtime.running() == {name("a")}

    play(scenario)


def test_an_unknown_score_type_is_refused():
    async def scenario(_: FakeRuntime, hub: Hub, __: MemoryServer) -> None:
        score = messages.ReconcileScore(type="HelmV9", data={}, revision="r9", owner=OWNER)
        await hub.desired.put(hub.key("web"), score)
        await hub.reaches("web", Phase.FAILED, reason="UnsupportedScore", revision="r9")

    play(scenario)


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 15.0), (0.5, 20.0), (1.0, 25.0)])
def test_looks_of_deployments_that_began_together_drift_apart(chance: float, seconds: float):
    assert Rhythm(resync=20.0, jitter=0.5).next_look(lambda: chance) == seconds


def test_events_that_break_off_again_and_again_are_followed_ever_more_rarely():
    class Broken(FakeRuntime):
        async def changes(self) -> AsyncGenerator[DeploymentName | None, None]:
            asked.append(asyncio.get_running_loop().time())
            raise errors.RuntimeUnavailable("down")
            yield

    async def scenario(_: FakeRuntime, __: Hub, ___: MemoryServer) -> None:
        await asyncio.sleep(300)
        assert len(asked) <= 50
        assert asked[-1] - asked[-2] >= 5

    asked: list[float] = []
    play(scenario, Broken())


def test_events_that_end_at_once_do_not_make_the_agent_spin():
    class Ending(FakeRuntime):
        async def changes(self) -> AsyncGenerator[DeploymentName | None, None]:
            asked.append(asyncio.get_running_loop().time())
            yield None

    async def scenario(_: FakeRuntime, __: Hub, ___: MemoryServer) -> None:
        await asyncio.sleep(60)
        assert 5 <= len(asked) <= 20

    asked: list[float] = []
    play(scenario, Ending())


def test_what_keeps_a_withdrawal_up_is_told_until_it_is_gone():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        revision = await hub.deploy("web", app("a"), app("b"))
        await hub.reaches("web", Phase.RUNNING)
        runtime.failures[f"remove {name('b')}"] = errors.ContainerInUse("probe depends on it")
        await hub.withdraw("web")
        state = await hub.reaches("web", Phase.FAILED, reason="ContainerInUse", revision=revision)
        assert [(s.name, s.state) for s in state.services] == [("b", "running")]
        await asyncio.sleep(120)
        assert await hub.state("web") == state
        runtime.failures.clear()
        await hub.is_gone("web", within=120)

    play(scenario)
